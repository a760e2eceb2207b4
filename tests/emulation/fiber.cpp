// SPDX-License-Identifier: Apache-2.0
#undef _FORTIFY_SOURCE  // its longjmp refuses to go to another stack
#include "fiber.h"

namespace emulation {

void Fiber::prepare(void (*entry)()) {
  stack_.resize(kStack);
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_.data();
  context_.uc_stack.ss_size = stack_.size();
  context_.uc_link = nullptr;
  makecontext(&context_, entry, 0);
  begun_ = false;
}

#ifdef __SANITIZE_ADDRESS__  // which knows of swapcontext's stacks alone

void Fiber::enter() { swapcontext(&scheduler_context_, &context_); }
void Fiber::leave() { swapcontext(&context_, &scheduler_context_); }

#else

void Fiber::enter() {
  if (_setjmp(scheduler_) != 0) return;
  if (begun_) _longjmp(here_, 1);
  begun_ = true;
  setcontext(&context_);
}

void Fiber::leave() {
  if (_setjmp(here_) == 0) _longjmp(scheduler_, 1);
}

#endif

}  // namespace emulation
