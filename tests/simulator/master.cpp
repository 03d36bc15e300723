#include "master.hpp"

#include "dates.hpp"

namespace simulator
{

std::int64_t master::clock() const
{
    return wall_ms() + clock_offset;
}

}  // namespace simulator
