// B-splines: the weights of the order + 1 neighbours of a point.
//
// M. Unser, A. Aldroubi, M. Eden: B-spline signal processing. IEEE Trans. Signal Process. 41 (1993).
#pragma once

#include "../core/dtypes.hpp"

namespace tinypyr {

constexpr int max_order = 5;

// Compute the weights. x: the distance of the point from the middle neighbour, in [0, 1] for odd orders and [-1/2, 1/2]
// for even ones.
template <int order>
TINYPYR_INLINE void spline_weights(double x, double* weight) {
  constexpr double sixth = 1.0 / 6;  // a multiplication is several times faster than a division
  const double y = 1 - x;
  if constexpr (order == 0) {
    weight[0] = 1;
  } else if constexpr (order == 1) {
    weight[0] = y;
    weight[1] = x;
  } else if constexpr (order == 2) {
    const double low = 0.5 - x, high = 0.5 + x;
    weight[0] = low * low * 0.5;
    weight[1] = 0.75 - x * x;
    weight[2] = high * high * 0.5;
  } else if constexpr (order == 3) {
    weight[0] = y * y * y * sixth;
    weight[1] = x * x * (x * 0.5 - 1) + 4 * sixth;
    weight[2] = y * y * (y * 0.5 - 1) + 4 * sixth;
    weight[3] = x * x * x * sixth;
  } else if constexpr (order == 4) {
    const double low = 0.5 - x, high = 0.5 + x, u = 1 + x, x2 = x * x;
    weight[0] = low * low * low * low * (sixth / 4);
    weight[1] = (55 + u * (20 + u * (-120 + u * (80 - 16 * u)))) * (sixth / 16);
    weight[2] = 115.0 / 192 + x2 * (x2 * 0.25 - 0.625);
    weight[3] = (55 + y * (20 + y * (-120 + y * (80 - 16 * y)))) * (sixth / 16);
    weight[4] = high * high * high * high * (sixth / 4);
  } else {
    const double u = 1 + x, v = 1 + y, x2 = x * x, y2 = y * y;
    weight[0] = y2 * y2 * y * (sixth / 20);
    weight[1] = 0.425 + u * (0.625 + u * (-1.75 + u * (1.25 + u * (-0.375 + u * (sixth / 4)))));
    weight[2] = 0.55 + x2 * (-0.5 + x2 * (0.25 - x * (sixth / 2)));
    weight[3] = 0.55 + y2 * (-0.5 + y2 * (0.25 - y * (sixth / 2)));
    weight[4] = 0.425 + v * (0.625 + v * (-1.75 + v * (1.25 + v * (-0.375 + v * (sixth / 4)))));
    weight[5] = x2 * x2 * x * (sixth / 20);
  }
}

// Call visit with the order as a std::integral_constant.
template <class Visit>
TINYPYR_INLINE void with_order(int order, Visit visit) {
  switch (order) {
    case 0:
      return visit(std::integral_constant<int, 0>{});
    case 1:
      return visit(std::integral_constant<int, 1>{});
    case 2:
      return visit(std::integral_constant<int, 2>{});
    case 3:
      return visit(std::integral_constant<int, 3>{});
    case 4:
      return visit(std::integral_constant<int, 4>{});
    default:
      return visit(std::integral_constant<int, 5>{});
  }
}

}  // namespace tinypyr
