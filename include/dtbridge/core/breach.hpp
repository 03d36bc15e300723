#pragma once

/// A breach as the bridge reads it: the document plus the few things that every stage asks for. The shapes of
/// darktrace.md 2.5 (flat, then only, then and now; device at top or in components) are told apart here and
/// nowhere else.

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <dtbridge/core/decimal.hpp>
#include <dtbridge/core/json.hpp>

namespace dtbridge
{

/// What makes a breach that breach (product.md 1): the same pbid with another created is a new breach.
struct breach_key
{
    std::int64_t pbid = 0;
    std::int64_t created = 0;  ///< ms since 1970: creationTime, or time where that is absent, or 0
    auto operator<=>(const breach_key&) const = default;

    /// Without any time of its own a breach is as old as its arrival in the archive (ms).
    std::int64_t created_or(std::int64_t archived) const { return created != 0 ? created : archived; }
};

/// Views point into doc: valid until the next read into the same object. Movable only by re-reading.
struct breach
{
    breach() = default;
    breach(const breach&) = delete;
    breach& operator=(const breach&) = delete;

    /// Reads one element of an answer. Fails with errc::malformed (no JSON, not an object, no pbid or none
    /// inside int64) or errc::over_limit; everything else about a breach may be odd and is taken (product.md
    /// 3, "Elements").
    outcome<breach_key> read(std::string_view element, const json::limits& bounds = {});

    json::document doc;
    json::value root;
    breach_key key;
    std::optional<std::int64_t> time;           ///< ms since 1970
    std::optional<std::int64_t> creation_time;  ///< ms since 1970
    std::optional<decimal> score;               ///< the received decimal, number or string of one
    json::value then;    ///< the model as of the breach: model.then, else flat model, else model.now
    json::value now;     ///< the model when read: model.now, else the same object as then
    json::value device;  ///< an object: top level, else the first component that has one; else missing
    std::vector<json::value>
        devices;  ///< every device object, the top one first, those of the components after it
    std::vector<json::value> components;  ///< triggeredComponents that are objects
};

/// A string member of an object, without outer blanks; "" if missing or not a string.
std::string_view string_member(const json::value& object, std::string_view name);

/// "Folder/Folder/Model" for display: every "::" is one "/" (darktrace.md 4.3). Controls are left alone.
std::string model_path(std::string_view name);

/// Non-empty tags of a model (model.tags: strings), outer blanks removed.
std::vector<std::string_view> model_tags(const json::value& model);

/// Whether the model's compliance flag is set: true, "true" or 1.
bool is_compliance(const json::value& model);

/// "Critical", "Suspicious", "Informational" or "Compliance" (where the flag is set, darktrace.md 2.5), or
/// another non-empty text as received; "" where there is none.
std::string_view model_category(const json::value& model);

/// acknowledged: an object, or true. Absent, null, false and an empty object are not.
bool is_acknowledged(const breach& b);
/// suppressed: true.
bool is_suppressed(const breach& b);

/// The account of a SaaS device ("SaaS::Office365: user@example.com" gives "user@example.com"), else "".
std::string_view saas_user(const json::value& device);

/// First component's peer: its first valid ip with the mask cut off, and its port.
struct peer
{
    std::string_view ip = {};
    std::optional<std::int64_t> port = {};
    json::value component = {};  ///< what it is the peer of
};
/// Peer of the first component that has a valid ip (product.md 6); an empty ip where none has.
peer breach_peer(const breach& b);

}  // namespace dtbridge
