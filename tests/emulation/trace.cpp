// SPDX-License-Identifier: Apache-2.0
// Looks at every access of the emulated kernels. Their sources are compiled for the thread
// sanitizer, which calls __tsan_read4(address) and the like; this file answers in its place. It
// finds
// - races: two accesses of a byte, one of them a write, by threads that no barrier between them
//   orders. Shuffles and votes order nothing; blocks are never ordered.
// - accesses that are not aligned to their size,
// - reads of shared memory that the block has not written, and accesses outside of it,
// and counts how many turns the banks of shared memory take for an instruction of a warp. The
// report, a JSON object a line, is returned by emulation_trace() and written at exit to the file
// that DARKPOSE_EMULATED_TRACE names. Launches of one CPU thread at a time.
#include "trace.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <unordered_map>

namespace emulation {
namespace {

constexpr size_t kPage = 1024;    // bytes whose accesses are allocated at a time
constexpr size_t kPages = 65536;  // before what is long over is forgotten
constexpr size_t kMargin = 4096;  // round shared memory

// What was found at a place of the code, and how often.
struct Finding {
  std::string example;
  uint64_t count = 0;
};

uintptr_t library_base() {
  Dl_info info;
  return dladdr(reinterpret_cast<const void*>(&library_base), &info) != 0
             ? reinterpret_cast<uintptr_t>(info.dli_fbase)
             : 0;
}

class Tracer : public Observer {
 public:
  Tracer() { observer() = this; }
  ~Tracer() override {
    const char* path = std::getenv("DARKPOSE_EMULATED_TRACE");
    FILE* file = path == nullptr ? nullptr : std::fopen(path, "a");
    if (file == nullptr) return;
    std::fputs(report().c_str(), file);
    std::fclose(file);
  }

  void launch_begins(const Launch& launch) override;
  void block_begins(unsigned threads) override { ++block_, clocks_.block_begins(threads); }
  void block_barrier() override { clocks_.block_barrier(); }
  void warp_barrier(unsigned warp, unsigned mask) override { clocks_.warp_barrier(warp, mask); }
  void warp_rests(unsigned warp) override;
  void access(uintptr_t at, size_t size, bool write, bool whole, uintptr_t code);
  // Of what has happened since the last report.
  std::string report();

 private:
  using Place = std::tuple<std::string, std::string, uint32_t, uint32_t>;  // kernel, kind, code

  void access_shared(uintptr_t offset, size_t size, bool write, Access now);
  void visit(Byte& byte, bool write, bool shared, const Access& now);
  void compare(const char* kind, const Access& before, bool shared, const Access& now);
  void found(const std::string& kind, uint32_t code, uint32_t other, const std::string& example);
  Byte& global(uintptr_t at);

  Clocks clocks_;
  std::string kernel_;
  uint32_t block_ = 0, first_block_ = 0;  // the present one, and the first of the launch
  std::vector<Byte> shared_;
  std::unordered_map<uintptr_t, std::unique_ptr<Byte[]>> pages_;
  uintptr_t last_number_ = 0;  // of the page visited last
  Byte* last_page_ = nullptr;
  std::vector<SharedAccess> of_warp_;  // since the warp last rested
  std::map<Place, Finding> findings_;
  std::map<std::pair<std::string, uint32_t>, Conflicts> conflicts_;
  std::map<std::string, uint64_t> accesses_;
  uint64_t* count_ = nullptr;  // the kernel's, among accesses_
  const uintptr_t base_ = library_base();
};

Tracer tracer;
thread_local bool busy = false;  // the tracer's own accesses are not traced

void Tracer::launch_begins(const Launch& launch) {
  kernel_ = launch.name;
  count_ = &accesses_[kernel_];
  first_block_ = block_ + 1;
  if (pages_.size() > kPages) pages_.clear();
  last_page_ = nullptr;
  of_warp_.clear();  // an error may have left some
  shared_.resize(std::max(shared_.size(), static_cast<size_t>(launch.shared_bytes)));
}

// The lanes' n-th accesses from one place of the code since they last rested count as one
// instruction.
void Tracer::warp_rests(unsigned) {
  std::stable_sort(of_warp_.begin(), of_warp_.end(),
                   [](const auto& a, const auto& b) { return a.code < b.code; });
  for (size_t begin = 0, end = 0; begin < of_warp_.size(); begin = end) {
    const uint32_t code = of_warp_[begin].code;
    std::vector<std::vector<SharedAccess>> instructions;
    size_t times[kWarp] = {};
    for (end = begin; end < of_warp_.size() && of_warp_[end].code == code; ++end) {
      const size_t n = times[of_warp_[end].lane]++;
      if (n == instructions.size()) instructions.emplace_back();
      instructions[n].push_back(of_warp_[end]);
    }
    Conflicts& here = conflicts_[{kernel_, code}];
    for (const auto& lanes : instructions) here.add(bank_ways(lanes));
  }
  of_warp_.clear();
}

void Tracer::access(uintptr_t at, size_t size, bool write, bool whole, uintptr_t code) {
  const Thread& thread = *running();
  const auto within = [&](const void* begin, size_t bytes) {
    return at - reinterpret_cast<uintptr_t>(begin) < bytes;
  };
  if (within(thread.fiber.stack(), thread.fiber.stack_size()) || within(&thread, sizeof thread))
    return;
  ++*count_;
  Access now;
  now.block = block_;
  now.thread = thread.place.thread.x;
  now.code = static_cast<uint32_t>(code - base_);
  clocks_.stamp(now);
  if (whole && at % size != 0)
    found("misaligned", now.code, 0, std::to_string(size) + " bytes, " + position(thread));
  const unsigned char* shared = shared_memory();
  if (within(shared - kMargin, shared_bytes() + 2 * kMargin))
    return access_shared(at - reinterpret_cast<uintptr_t>(shared), size, write, now);
  for (size_t i = 0; i < size; ++i) visit(global(at + i), write, false, now);
}

void Tracer::access_shared(uintptr_t offset, size_t size, bool write, Access now) {
  // What the compiler sees as a range, a GPU reads word by word.
  const size_t step = (size & (size - 1)) == 0 && size <= 16 ? size : 4;
  for (size_t i = 0; i < size; i += step)
    of_warp_.push_back({now.code, now.thread % kWarp, static_cast<uint32_t>(offset + i),
                        static_cast<uint32_t>(std::min(step, size - i))});
  if (offset >= shared_bytes() || offset + size > shared_bytes())
    return found("outside", now.code, 0,
                 "byte " + std::to_string(static_cast<int64_t>(offset)) + " of " +
                     std::to_string(shared_bytes()) + ", " + position(*running()));
  bool written = true;
  for (size_t i = 0; i < size; ++i) {
    Byte& byte = shared_[offset + i];
    written = written && (write || byte.write.block == block_);
    visit(byte, write, true, now);
  }
  if (!written)
    found("uninitialized", now.code, 0,
          "byte " + std::to_string(offset) + ", " + position(*running()));
}

void Tracer::visit(Byte& byte, bool write, bool shared, const Access& now) {
  compare(write ? "write, write" : "write, read", byte.write, shared, now);
  if (write) {
    for (const Access& read : byte.read) compare("read, write", read, shared, now);
    byte = {now, {}};
  } else {
    const auto apart = [](const Access& a, const Access& b) {
      return a.block != b.block || a.thread / kWarp != b.thread / kWarp;
    };
    const Access last = byte.read[0];
    const bool counts = byte.read[1].block >= (shared ? block_ : first_block_);
    const bool keep = last.thread == now.thread || (counts && apart(byte.read[1], last));
    if (apart(last, now) || !keep) byte.read[1] = last;
    byte.read[0] = now;
  }
}

void Tracer::compare(const char* kind, const Access& before, bool shared, const Access& now) {
  if (before.block < first_block_) return;
  if (before.block == now.block ? clocks_.ordered(before, now) : shared) return;
  found(std::string("race: ") + kind, before.code, now.code,
        "threads " + std::to_string(before.thread) + " and " + std::to_string(now.thread) +
            (before.block == now.block ? " of a block" : " of two blocks"));
}

void Tracer::found(const std::string& kind, uint32_t code, uint32_t other,
                   const std::string& example) {
  Finding& finding = findings_[{kernel_, kind, code, other}];
  if (finding.count++ == 0) finding.example = example;
}

Byte& Tracer::global(uintptr_t at) {
  if (at / kPage != last_number_ || last_page_ == nullptr) {
    std::unique_ptr<Byte[]>& page = pages_[at / kPage];
    if (page == nullptr) page = std::make_unique<Byte[]>(kPage);
    last_number_ = at / kPage;
    last_page_ = page.get();
  }
  return last_page_[at % kPage];
}

std::string Tracer::report() {
  std::string text;
  const auto line = [&](const std::string& kernel, const std::string& rest) {
    text += "{\"kernel\": \"" + kernel + "\", " + rest + "}\n";
  };
  for (const auto& [kernel, count] : accesses_)
    line(kernel, "\"kind\": \"accesses\", \"count\": " + std::to_string(count));
  for (const auto& [place, finding] : findings_) {
    const auto& [kernel, kind, code, other] = place;
    line(kernel, "\"kind\": \"" + kind + "\", \"count\": " + std::to_string(finding.count) +
                     ", \"code\": [" + std::to_string(code) + ", " + std::to_string(other) +
                     "], \"example\": \"" + finding.example + "\"");
  }
  for (const auto& [place, conflicts] : conflicts_)
    line(place.first, "\"kind\": \"banks\", \"count\": " + std::to_string(conflicts.instructions) +
                          ", \"code\": [" + std::to_string(place.second) +
                          "], \"ways\": " + std::to_string(conflicts.ways) +
                          ", \"most\": " + std::to_string(conflicts.most));
  accesses_.clear();
  findings_.clear();
  conflicts_.clear();
  return text;
}

void trace(const void* at, size_t size, bool write, bool whole, const void* code) {
  if (busy || running() == nullptr) return;
  busy = true;
  tracer.access(reinterpret_cast<uintptr_t>(at), size, write, whole,
                reinterpret_cast<uintptr_t>(code) - 1);  // the call, not where it returns to
  busy = false;
}

}  // namespace
}  // namespace emulation

extern "C" {

// The caller reads it before it asks again.
__attribute__((visibility("default"))) const char* emulation_trace() {
  static std::string report;
  report = emulation::tracer.report();
  return report.c_str();
}

#define TRACE(name, size, write, whole)                                    \
  void __tsan_##name(void* at) {                                           \
    emulation::trace(at, size, write, whole, __builtin_return_address(0)); \
  }
#define TRACE_ALL(size)                           \
  TRACE(read##size, size, false, true)            \
  TRACE(write##size, size, true, true)            \
  TRACE(unaligned_read##size, size, false, false) \
  TRACE(unaligned_write##size, size, true, false) \
  TRACE(volatile_read##size, size, false, true)   \
  TRACE(volatile_write##size, size, true, true)
TRACE_ALL(1)
TRACE_ALL(2)
TRACE_ALL(4)
TRACE_ALL(8)
TRACE_ALL(16)

void __tsan_read_range(void* at, long size) {
  emulation::trace(at, size, false, false, __builtin_return_address(0));
}
void __tsan_write_range(void* at, long size) {
  emulation::trace(at, size, true, false, __builtin_return_address(0));
}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_read(void**) {}
void __tsan_vptr_update(void**, void*) {}
// Of the host's code in the same files.
int __tsan_atomic32_fetch_add(volatile int* at, int value, int order) {
  (void)order;
  return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);
}
char __tsan_atomic8_load(const volatile char* at, int order) {
  (void)order;
  return __atomic_load_n(at, __ATOMIC_SEQ_CST);
}

// Copies that the compiler leaves to the library; linked with --wrap.
void* __real_memcpy(void* to, const void* from, size_t size);
void* __wrap_memcpy(void* to, const void* from, size_t size) {
  emulation::trace(from, size, false, false, __builtin_return_address(0));
  emulation::trace(to, size, true, false, __builtin_return_address(0));
  return __real_memcpy(to, from, size);
}
void* __real_memset(void* to, int value, size_t size);
void* __wrap_memset(void* to, int value, size_t size) {
  emulation::trace(to, size, true, false, __builtin_return_address(0));
  return __real_memset(to, value, size);
}
}
