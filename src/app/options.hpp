#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/command.hpp"

namespace dtbridge::app
{

/// One option of a command, long form only.
struct option
{
    std::string name;   ///< without dashes
    std::string value;  ///< name of its value in the help; "" for a switch
    std::string description;
    bool required = false;
};

/// What a command line said.
class parsed
{
public:
    bool has(std::string_view name) const;
    /// The value, or fallback where the option was not given.
    std::string get(std::string_view name, std::string_view fallback = "") const;
    const std::vector<std::string>& positional() const { return positional_; }
    /// --config, or the installed default.
    std::string config() const;

private:
    friend std::optional<parsed> parse(const arguments&,
                                       std::string_view,
                                       const std::vector<option>&,
                                       std::size_t);
    std::vector<std::pair<std::string, std::string>> values_;
    std::vector<std::string> positional_;
};

/// Reads a command's arguments; --config and --help are understood by every command. Nothing after --help was
/// printed. Throws usage_error for an unknown option, a missing value, a missing required option or too many
/// file names.
std::optional<parsed> parse(const arguments& args,
                            std::string_view command_name,
                            const std::vector<option>& known,
                            std::size_t max_positional = 0);

/// The value of --pbid: any int64, negative ones of Unified View included. Throws usage_error.
std::int64_t to_pbid(const std::string& text);

inline constexpr std::string_view default_config = "/etc/dtbridge/dtbridge.toml";

}  // namespace dtbridge::app
