// SPDX-License-Identifier: Apache-2.0
// The sub-pixel steps from pixels that decode or decode_peaks has found, for a block of them.
#pragma once
#include "../decode.h"
#include "peaks.h"
#include "window.h"

namespace dark {

// The steps that are taken at once, map by map; DARK's waits for those of other maps.
template <typename Reader, typename A = typename Reader::A>
DARK_INLINE Point<A> simple_step(Method method, const Reader& map, int64_t x, int64_t y,
                                 int64_t index) {
  switch (method) {
    case Method::argmax:
    case Method::dark: break;
    case Method::standard:
      if (!standard_fits(x, y, map.width, map.height)) break;
      return standard_step(map.at(x - 1, y), map.at(x + 1, y), map.at(x, y - 1), map.at(x, y + 1));
    case Method::second_max: {
      if (map.width * map.height == 1) break;
      const int64_t second = find_peak_slowly(map, index).index;
      return second_max_step<A>(second % map.width - x, second / map.width - y);
    }
  }
  return {0, 0};
}

// The steps of those near the border, of which there are few: apart from the others' code, and
// compiled once, so that they are the same on every machine.
template <typename Reader, typename A = typename Reader::A>
__attribute__((noinline)) void fit_block(const DecodeRule<A>& rule, const Reader* maps,
                                         const Peak<A>* peaks, const int64_t* x, const int64_t* y,
                                         int count, A* dx, A* dy) {
  for (int i = 0; i < count; ++i) {
    if (peaks[i].nan || !can_step(peaks[i]) ||
        !near_border(rule.fit, x[i], y[i], maps[i].width, maps[i].height))
      continue;
    Point<A> step{dx[i], dy[i]};
    fit_step(rule.fit, maps[i], x[i], y[i], peaks[i].value, rule.max_shift, step);
    dx[i] = step.x;
    dy[i] = step.y;
  }
}

// Where the peaks are, at most a block of them, each of the map beside it.
template <typename Reader, typename A = typename Reader::A>
DARK_INLINE void refine_block(const DecodeRule<A>& rule, const Reader* maps, const Peak<A>* peaks,
                              int count, Point<A>* points) {
  int64_t x[kBlock], y[kBlock];
  A dx[kBlock] = {}, dy[kBlock] = {};
  int taylor[kBlock], taylor_count = 0;  // the maps that have a Taylor step
  for (int i = 0; i < count; ++i) {
    const Reader& map = maps[i];
    y[i] = peaks[i].index / map.width;
    x[i] = peaks[i].index - y[i] * map.width;
    if (peaks[i].nan || !can_step(peaks[i])) continue;
    if (rule.method == Method::dark && taylor_fits(x[i], y[i], map.width, map.height))
      taylor[taylor_count++] = i;
    const Point<A> step = simple_step(rule.method, map, x[i], y[i], peaks[i].index);
    dx[i] = step.x;
    dy[i] = step.y;
  }
  if (taylor_count > 0) {
    Stencils<A> stencils;
    stencils.clear();
    if (rule.taps_count == 0)
      for (int i = 0; i < taylor_count; ++i)
        copy_window(maps[taylor[i]], x[taylor[i]], y[taylor[i]], stencils, taylor[i]);
    else if (rule.taps_count == 11)  // those of sigma 2, the usual one
      blur_windows<11>(maps, rule.taps, 11, x, y, taylor, taylor_count, stencils);
    else
      blur_windows<0>(maps, rule.taps, rule.taps_count, x, y, taylor, taylor_count, stencils);
    stencils.steps(rule.max_shift, dx, dy);
  }
  if (rule.fit.on) fit_block(rule, maps, peaks, x, y, count, dx, dy);
  for (int i = 0; i < count; ++i)
    points[i] = {static_cast<A>(x[i]) + dx[i], static_cast<A>(y[i]) + dy[i]};
}

}  // namespace dark
