#pragma once

/// The query of a request, decoded and bounded. Pure.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dtbridge/core/failure.hpp>

namespace dtbridge::web
{

class parameters
{
public:
    /// At most 16, each name once and not empty, names and values of at most 1,000 bytes of UTF-8 without C0
    /// controls and DEL. '+' is a blank (HTML forms); %XX is decoded. The failure, one line, says what is
    /// wrong.
    static outcome<parameters> parse(std::string_view query);

    /// Nothing where it is not given; "" where it is given without a value.
    std::optional<std::string> find(std::string_view name) const;
    /// The first name that is none of these, or "".
    std::string unknown(std::initializer_list<std::string_view> known) const;

private:
    std::vector<std::pair<std::string, std::string>> all_;
};

}  // namespace dtbridge::web
