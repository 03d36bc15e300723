#pragma once

/// The request target taken apart: path, parameters in order, percent signs and plus resolved.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace simulator
{

std::string percent_decoded(std::string_view text);

struct request_query
{
    std::string path;
    std::vector<std::pair<std::string, std::string>> parameters;

    explicit request_query(std::string_view target);
    std::optional<std::string> get(std::string_view name) const;  ///< the last of that name
    bool flag(std::string_view name,
              bool otherwise) const;  ///< "true"; anything else is false (Python's True fails)
    std::optional<std::int64_t> number(std::string_view name) const;
};

}  // namespace simulator
