#pragma once

/// The derived values that a field map may name, "@url" and the like, and where they come from in a breach.

#include <dtbridge/core/breach.hpp>
#include <dtbridge/format/formatter.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "format/item.hpp"
#include "format/keys.hpp"

namespace dtbridge::format
{

enum class derived : std::uint8_t {
    acknowledged,
    category,
    component,
    created,
    decision,
    device_ip,
    device_ipv4,
    device_ipv6,
    label,
    master,
    mitre,
    model,
    pbid,
    peer_hostname,
    peer_ip,
    peer_port,
    reason,
    score,
    severity,
    tags,
    tags_now,
    time,
    url,
    user,
};

struct derived_info
{
    std::string_view name;  ///< with "@"; "@label." for labels
    derived id;
    value_kind kind;  ///< what it is by itself
    bool always;      ///< every breach has it
};

std::span<const derived_info> derived_values();
/// Null for an unknown name. "@label.tenant" finds "@label.".
const derived_info* find_derived(std::string_view name);

/// The derived values of one breach after the other. The answers are views that hold until the next call.
class value_reader
{
public:
    void start(
        const breach& b, const master_info& master, const rules::decision& said, int severity, bool marks);
    /// name: of the label.
    item get(derived id, std::string_view name);

private:
    const peer& found_peer();
    item device_address(bool v4, bool v6);
    item peer_hostname();
    item mitre();
    item component();

    const breach* breach_ = nullptr;
    const master_info* master_ = nullptr;
    const rules::decision* said_ = nullptr;
    int severity_ = 0;
    bool marks_ = false;
    std::optional<peer> peer_;
    std::string text_;
};

/// "alert", or "context" for what the rules held back (product.md 5).
std::string_view decision_word(const rules::decision& said);

/// Appends breach_url().
void append_breach_url(std::string& out, const breach& b, const master_info& master);

}  // namespace dtbridge::format
