// SPDX-License-Identifier: Apache-2.0
#include "warp.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "machine.h"

namespace emulation {
namespace {

const char* name_of(Operation operation) {
  switch (operation) {
    case Operation::sync: return "__syncwarp";
    case Operation::shuffle: return "__shfl_sync";
    case Operation::shuffle_xor: return "__shfl_xor_sync";
    case Operation::shuffle_up: return "__shfl_up_sync";
    case Operation::shuffle_down: return "__shfl_down_sync";
    case Operation::ballot: return "__ballot_sync";
    case Operation::any: return "__any_sync";
    case Operation::all: return "__all_sync";
    case Operation::add: return "__reduce_add_sync";
    case Operation::min: return "__reduce_min_sync";
    case Operation::max: return "__reduce_max_sync";
    case Operation::bit_and: return "__reduce_and_sync";
    case Operation::bit_or: return "__reduce_or_sync";
    case Operation::bit_xor: return "__reduce_xor_sync";
  }
  return "";
}

bool is_shuffle(Operation operation) {
  return operation >= Operation::shuffle && operation <= Operation::shuffle_down;
}

std::string described(const Call& call) {
  char mask[16];
  std::snprintf(mask, sizeof mask, "0x%08x", call.mask);
  return std::string(name_of(call.operation)) + " with mask " + mask;
}

bool names(unsigned mask, unsigned lane) { return (mask >> lane & 1) != 0; }

bool waits_with(const Thread& thread, const Call& call) {
  return thread.state == State::at_warp_operation && thread.call.operation == call.operation &&
         thread.call.mask == call.mask;
}

// A lane that the call names and that has not come to it, or kWarp.
unsigned missing(const Thread* warp, const Call& call) {
  for (unsigned lane = 0; lane < kWarp; ++lane)
    if (names(call.mask, lane) && !waits_with(warp[lane], call)) return lane;
  return kWarp;
}

std::string whereabouts(const Thread& thread) {
  switch (thread.state) {
    case State::ready: break;
    case State::at_block_barrier: return "waits at __syncthreads";
    case State::at_warp_operation: return "waits at " + described(thread.call);
    case State::done: return "has returned";
  }
  return "runs";
}

uint32_t combined(const Call& call, uint32_t a, uint32_t b) {
  const bool below = call.is_signed ? static_cast<int32_t>(a) < static_cast<int32_t>(b) : a < b;
  switch (call.operation) {
    case Operation::add: return a + b;
    case Operation::min: return below ? a : b;
    case Operation::max: return below ? b : a;
    case Operation::bit_and: return a & b;
    case Operation::bit_xor: return a ^ b;
    default: return a | b;
  }
}

// What every lane of the mask takes from a vote or a reduction.
uint64_t result(const Thread* warp, const Call& call) {
  unsigned votes = 0;
  uint32_t reduced = 0;
  bool first = true;
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if (!names(call.mask, lane)) continue;
    const uint32_t given = static_cast<uint32_t>(warp[lane].call.given);
    if (given != 0) votes |= 1u << lane;
    reduced = first ? given : combined(call, reduced, given);
    first = false;
  }
  switch (call.operation) {
    case Operation::ballot: return votes;
    case Operation::any: return votes != 0;
    case Operation::all: return votes == call.mask;
    default: return reduced;
  }
}

void complete(Thread* warp, const Call call) {
  const uint64_t common = is_shuffle(call.operation) ? 0 : result(warp, call);
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if (!names(call.mask, lane)) continue;
    Call& own = warp[lane].call;
    own.taken = is_shuffle(call.operation) ? warp[own.source].call.given : common;
    warp[lane].state = State::ready;
  }
  if (call.operation == Operation::sync && observer() != nullptr)
    observer()->warp_barrier(warp->place.thread.x / kWarp, call.mask);
}

}  // namespace

unsigned lane() { return place().thread.x % kWarp; }

uint64_t together(const Call& call) {
  const unsigned own = lane();
  if (!names(call.mask, own)) fail("calls " + described(call) + ", which does not name it");
  if (is_shuffle(call.operation) && !names(call.mask, call.source))
    fail("takes the value of lane " + std::to_string(call.source) + " by " + described(call) +
         ", which does not name that");
  return wait_for_warp(call);
}

bool complete_operations(Thread* warp) {
  bool completed = false;
  unsigned waiting = kWarp;
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if (warp[lane].state != State::at_warp_operation) continue;
    waiting = lane;
    if (missing(warp, warp[lane].call) != kWarp) continue;
    complete(warp, warp[lane].call);
    completed = true;
  }
  if (completed || waiting == kWarp) return completed;
  const Thread& thread = warp[waiting];
  const unsigned other = missing(warp, thread.call);
  throw std::runtime_error(position(thread) + " waits at " + described(thread.call) + " for lane " +
                           std::to_string(other) + ", which " + whereabouts(warp[other]));
}

}  // namespace emulation
