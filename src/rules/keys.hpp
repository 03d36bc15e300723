#pragma once

/// The keys of [models] and [devices]: what they name and how specific they are.

#include <cstdint>
#include <string>
#include <string_view>

#include <dtbridge/core/ip.hpp>

namespace dtbridge::rules
{

struct model_key
{
    enum class kind { uuid, pid, name, glob };
    kind type = kind::name;
    std::string text;  ///< normal form: a uuid in lower case, a normal_name, a glob of one
    std::int64_t pid = 0;
    std::size_t literals = 0;  ///< of a glob: code points that are no wildcard
};

struct device_key
{
    enum class kind { did, mac, ip, host, type, tag, label };  ///< most specific first (product.md 5)
    kind type = kind::did;
    std::string text;  ///< the glob of mac, host, type, tag and label
    std::string name;  ///< of a label
    std::int64_t did = 0;
    ip_network network;
    std::size_t literals = 0;
};

/// Lower case, with "::", "/" and " / " as one "/": what two spellings of one model's name have in common.
/// out is replaced; it keeps its memory.
void normal_name(std::string& out, std::string_view name);

/// What a file or a breach says, for errors and reasons: printable, bounded, in quotes.
std::string quoted(std::string_view s);

/// At most 63 letters, digits, _ and -.
bool is_label_name(std::string_view s);

/// Answers what is wrong with the key, or "".
std::string parse_model_key(std::string_view written, model_key& out);
std::string parse_device_key(std::string_view written, device_key& out);

}  // namespace dtbridge::rules
