#pragma once

/// A breach in, the bytes of one message out (formats.md; product.md 6). Pure: no clock, no sockets, never
/// throws on odd data. Tested by every vector of tests/data/formats.json and by tables in tests/unit/format.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/format/options.hpp>
#include <dtbridge/rules/policy.hpp>

namespace dtbridge::format
{

/// The master that a breach came from, as far as a message shows it.
struct master_info
{
    std::string name;
    std::string url;         ///< https://host, no slash at the end
    std::string public_url;  ///< "" where not set
    std::vector<std::pair<std::string, std::string>> labels;
};

/// Same shape as rules::problem: one line each for `check`.
using problem = rules::problem;

/// A field map: which keys, in order, and where each value comes from. Data (mappings/fields/*.toml).
class field_map
{
public:
    field_map();
    ~field_map();
    field_map(field_map&&) noexcept;
    field_map& operator=(field_map&&) noexcept;
    const std::string& text() const;  ///< the file as read

    struct impl;
    std::unique_ptr<impl> impl_;
};

struct loaded_map
{
    field_map value;
    std::vector<problem> problems;
    bool ok = true;
};

/// Reads and checks a map for one format (and CEF version): keys, label pairs, the six custom strings, types
/// against the dictionary. path "" gives the built-in map.
loaded_map load_field_map(kind format,
                          const std::string& path,
                          const std::string& display_name,
                          int cef_version = 0);
loaded_map load_field_map_text(kind format,
                               std::string_view toml,
                               const std::string& display_name,
                               int cef_version = 0);
/// The built-in map's text: mappings/fields/cef.toml or leef.toml, compiled in.
std::string_view builtin_field_map(kind format);

enum class verdict {
    whole,          ///< everything is in the message
    shortened,      ///< units or members were left out or cut; still valid
    undeliverable,  ///< cannot be made to fit max_message (U2): out is empty
};

class formatter
{
public:
    /// bridge_host: this host's name, for hostname = "bridge". fields is ignored for JSON.
    formatter(options o, field_map fields, std::string bridge_host);
    ~formatter();
    formatter(formatter&&) noexcept;
    formatter& operator=(formatter&&) noexcept;

    /// Appends one whole message (header included, framing not) to out. said is what the rules decided: its
    /// severity, labels, reason and forward (held_back) shape the message. The result never holds a raw line
    /// break or NUL.
    verdict message(const breach& b,
                    const master_info& master,
                    const rules::decision& said,
                    std::string& out);

    /// A bridge event of product.md 6 (heartbeat, health, throttled, update, test) in the same format and
    /// header with app name dtbridge.
    struct event
    {
        std::string type = {};  ///< "heartbeat", "test", ...
        std::string name = {};  ///< short, for CEF's name
        std::string message = {};
        std::int64_t time = 0;  ///< ms
        int severity = 3;       ///< 1 to 10
        std::string master = {}, destination = {};
        std::optional<std::int64_t> count = {};
    };
    verdict bridge_event(const event& e, std::string_view version, std::string& out);

    const options& settings() const;

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

/// `<public_url>/#modelbreach/<pbid>`, else the breach's own https breachUrl, else
/// `<url>/#modelbreach/<pbid>`.
std::string breach_url(const breach& b, const master_info& master);

}  // namespace dtbridge::format
