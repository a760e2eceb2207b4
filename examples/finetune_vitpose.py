# SPDX-License-Identifier: Apache-2.0
"""Fine-tune a ViTPose of Hugging Face on a folder of your own people, evaluate it, export it.

    python examples/finetune_vitpose.py MODEL PEOPLE OUT [OPTION ...]

PEOPLE holds annotations/{train,val}.json, COCO-style with joints of any names, and
images/{train,val}. OPTIONs are those of `darkpose fit`, --trainer.max_epochs=60. Writes
OUT/checkpoints/best.ckpt and OUT/pose.onnx. Needs pip install 'darkpose[train,huggingface,onnx]'.
"""

import sys
from pathlib import Path

from darkpose import Predictor
from darkpose.cli.main import main as darkpose

model, people, out, *more = sys.argv[1:]
data = {
    f"{name}{part}": f"{people}/{place}"
    for name in ("train", "val")
    for part, place in {"": f"annotations/{name}.json", "_images": f"images/{name}"}.items()
}
finetuning = [
    *("--model.learning_rate=1e-4", "--model.weight_decay=0.1", "--model.warmup=100"),
    *("--model.layer_decay=0.75", "--model.drop_path=0.1", "--trainer.gradient_clip_val=1.0"),
]
options = [f"--data.{name}={path}" for name, path in data.items()]
darkpose(
    ["fit", f"--model.network=huggingface:{model}", f"--out={out}", *options, *finetuning, *more]
)

best = Path(out, "checkpoints", "best.ckpt")
darkpose(["export", str(best), f"{out}/pose.onnx"])

photo = min(Path(people, "images", "val").iterdir())
print(f"{photo.name}: {Predictor.from_checkpoint(best)(photo).keypoints.shape[1]} joints")
