// SPDX-License-Identifier: Apache-2.0
// A thread of the emulated GPU: a stack of its own, on which it runs until it leaves for the
// scheduler's. `swapcontext` would be enough, but asks the kernel for the signal mask each time:
// 570 ns there and back, where `_longjmp` takes 23.
#pragma once
#include <ucontext.h>

#include <csetjmp>
#include <cstddef>
#include <vector>

namespace emulation {

class Fiber {
 public:
  // The next enter() begins `entry`, which never returns.
  void prepare(void (*entry)());
  // Called by the scheduler: runs the fiber until it leaves.
  void enter();
  // Called by the fiber: enter() returns.
  void leave();

  const char* stack() const { return stack_.data(); }
  size_t stack_size() const { return stack_.size(); }

 private:
  static constexpr size_t kStack = 64 * 1024;

  std::vector<char> stack_;
  ucontext_t context_, scheduler_context_;
  jmp_buf here_, scheduler_;
  bool begun_ = false;
};

}  // namespace emulation
