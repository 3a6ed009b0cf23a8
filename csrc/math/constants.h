// Bounds of the degenerate cases; poseda_ext/reference.py holds the same values by the same names.
#pragma once

namespace poseda {

constexpr double kMinBoneLength = 1e-6;   // metres
constexpr double kMinBoxSize = 1e-3;      // width plus height, unit of the 2D points
constexpr double kMinDepth = 0.1;         // metres
constexpr double kMinFocalLength = 1e-3;  // unit of the 2D points
constexpr double kMinHalfway = 1e-4;      // length of the sum of two unit vectors

}  // namespace poseda
