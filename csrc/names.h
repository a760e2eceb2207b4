// SPDX-License-Identifier: Apache-2.0
// The names that ops take as text, each list once: what a user types is what code switches on.
// Switches have no `default`, so that a name forgotten in one place does not compile.
#pragma once
#include <optional>
#include <string>

namespace dark {

// Defines an enumeration and, as names(Enum{}), its enumerators' names in the same order.
#define DARK_ENUMERATOR(name) name,
#define DARK_NAME(name) #name,
#define DARK_NAMED_ENUM(Enum, LIST)                         \
  enum class Enum { LIST(DARK_ENUMERATOR) };                \
  inline const auto& names(Enum) {                          \
    static constexpr const char* all[] = {LIST(DARK_NAME)}; \
    return all;                                             \
  }

#define DARK_METHODS(X) X(argmax) X(standard) X(second_max) X(dark)
#define DARK_ROUNDINGS(X) X(none) X(floor) X(ceil) X(round)
#define DARK_RESCALES(X) X(minmax) X(max) X(none)
#define DARK_INTERPOLATIONS(X) X(bilinear) X(bicubic)
#define DARK_BORDERS(X) X(stay) X(fit)

DARK_NAMED_ENUM(Method, DARK_METHODS)                // of decode
DARK_NAMED_ENUM(Rounding, DARK_ROUNDINGS)            // of encode and heatmap_mse
DARK_NAMED_ENUM(Rescale, DARK_RESCALES)              // of modulate
DARK_NAMED_ENUM(Interpolation, DARK_INTERPOLATIONS)  // of crop
DARK_NAMED_ENUM(Border, DARK_BORDERS)                // of decode

template <typename Enum>
std::optional<Enum> find_name(const std::string& text) {
  int i = 0;
  for (const char* name : names(Enum{})) {
    if (text == name) return static_cast<Enum>(i);
    ++i;
  }
  return std::nullopt;
}

}  // namespace dark
