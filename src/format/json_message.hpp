#pragma once

/// JSON messages: a breach in Darktrace's own flat shape or as the API gave it, and how one is made to fit
/// (product.md 6, darktrace.md 4.1, J1 to J5).

#include <dtbridge/core/breach.hpp>
#include <dtbridge/format/formatter.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/json_text.hpp"

namespace dtbridge::format
{

class json_writer
{
public:
    /// Appends the breach as one object that ends at or before size `end` of out.
    verdict breach_object(const breach& b,
                          const master_info& master,
                          const rules::decision& said,
                          const options& o,
                          std::string& out,
                          std::size_t end);

    /// Appends any object by J1 to J5, numbers by J3.
    verdict plain_object(const json::value& object, std::string& out, std::size_t end);

private:
    /// What an object or array is, which decides what is special about its members.
    enum class part : std::uint8_t {
        other,
        plain,         ///< the whole of plain_object
        root,          ///< the breach
        models,        ///< {then, now}
        model,         ///< the one that is never left out
        other_model,   ///< now, beside then
        device,        ///< at the top
        other_device,  ///< in a component
        components,    ///< the array
        component,
        filters,  ///< the array
    };
    /// Steps of shortening; each includes those before it (darktrace.md 4.1).
    enum step : int {
        nothing_left_out,
        other_filters,  ///< beyond the first of each kind
        component_logic,
        model_logic,
        defeats,
        active_times,
        device_ips,
        description_cut,
        one_filter,              ///< per component
        members_but_components,  ///< whole members in order, the components and throttle reserved
        members,                 ///< whole members in order
    };

    verdict fit(const json::value& top, part kind, std::string& out, std::size_t end);
    verdict render_within(const json::value& top, part kind, std::size_t limit);
    int first_step(std::size_t too_much) const;
    void render(const json::value& top, part kind);
    void object(const json::value& o, part kind);
    void members_of(const json::value& o, part kind);
    bool special_member(std::string_view name, const json::value& v, part kind);
    void member(std::string_view name, const json::value& v, part inside, part kind);
    void comma_and_name(std::string_view name, bool plain);
    void comma_and_name(std::string_view name) { comma_and_name(name, is_plain(name)); }
    void any(const json::value& v, part kind);
    void filters_of(const json::value& list);
    void tail(part kind);
    void bridge_member();
    bool is_reserved(std::string_view name, const json::value& v, part kind) const;
    bool is_on_top(const json::value& device) const;
    bool brings_device() const;
    static int left_out_from(std::string_view name, part kind);
    part inside(std::string_view name, part kind) const;

    sink out_;
    const breach* breach_ = nullptr;
    const master_info* master_ = nullptr;
    const rules::decision* said_ = nullptr;
    const options* options_ = nullptr;
    nul nul_ = nul::replaced;
    bool native_ = false;
    bool has_bridge_member_ = false;  // "dtbridge"
    bool truncated_ = false;
    int step_ = nothing_left_out;
    std::size_t budget_ = 0;            // for members that are not reserved
    std::size_t description_room_ = 0;  // for the bytes between the quotes
    bool url_done_ = false, device_done_ = false;
    std::array<std::size_t, members + 1> droppable_{};  // bytes that each step can save at most
    std::string url_;
    std::optional<std::int64_t> top_did_;  // native shape: of the device at the top
    std::vector<std::string_view> keys_;   // member names of the objects being written, innermost last
    std::vector<std::string_view> kinds_;  // of the filters of one component
};

}  // namespace dtbridge::format
