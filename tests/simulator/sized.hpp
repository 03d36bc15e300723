#pragma once

/// Generated breaches of a wanted length, for measurements per breach of so many bytes.

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace simulator
{

/// The generated breach with as close to `bytes` bytes as whole parts of it allow, and never many more: what
/// is too long loses triggered filters and components from the end, then `model.now`; what is too short gets
/// components of other breaches, which another(0), another(1), .. answers. The same input gives the same
/// text.
std::string sized(std::string_view breach,
                  std::size_t bytes,
                  const std::function<std::string(unsigned)>& another);

}  // namespace simulator
