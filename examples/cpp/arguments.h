// SPDX-License-Identifier: Apache-2.0
// Numbers and texts of the command line and of the metadata.
#pragma once
#include <cmath>
#include <cstdlib>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "crops.h"

namespace darkpose {

// "1,2,3" as numbers; throws unless there are `count`.
inline std::vector<double> parse_numbers(const std::string& text, char separator, size_t count) {
  std::vector<double> numbers;
  const char* at = text.c_str();
  for (char* end = nullptr;; at = end + 1) {
    const double number = std::strtod(at, &end);
    if (end == at) break;
    numbers.push_back(number);
    if (*end != separator) {
      at = end;
      break;
    }
  }
  if (*at != '\0' || numbers.size() != count)
    throw std::invalid_argument("expected " + std::to_string(count) + " numbers, got \"" + text +
                                "\"");
  return numbers;
}

// A whole number from 1 on that an int holds.
inline int parse_count(double number) {
  if (!(number >= 1 && number <= std::numeric_limits<int>::max() && number == std::floor(number)))
    throw std::invalid_argument("expected a whole number from 1 on, got " + std::to_string(number));
  return static_cast<int>(number);
}

inline int parse_count(const std::string& text) {
  return parse_count(parse_numbers(text, ',', 1)[0]);
}

inline Box parse_box(const std::string& text) {
  std::vector<double> n;
  try {
    n = parse_numbers(text, ',', 4);
  } catch (const std::invalid_argument&) {
    throw std::invalid_argument("a box must be x,y,width,height, got \"" + text + "\"");
  }
  if (!(std::isfinite(n[0] + n[1] + n[2] + n[3]) && n[2] > 0 && n[3] > 0))
    throw std::invalid_argument("a box must be finite and of positive size, got \"" + text + "\"");
  return {n[0], n[1], n[2], n[3]};
}

// A text as JSON.
inline std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + '"';
}

}  // namespace darkpose
