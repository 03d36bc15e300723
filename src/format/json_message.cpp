#include "format/json_message.hpp"

#include <dtbridge/core/text.hpp>

#include <algorithm>
#include <cstring>
#include <forward_list>
#include <memory>
#include <unordered_set>

#include "format/values.hpp"

namespace dtbridge::format
{
namespace
{

constexpr std::string_view truncated_member = ",\"truncated\":true";
constexpr std::size_t few_members = 64;  // up to here comparing is cheaper than hashing
constexpr std::size_t max_kinds = 64;    // of filters in one component; more are left out by the first step

bool is_scalar(const json::value& v)
{
    return !v.is(json::kind::object) && !v.is(json::kind::array);
}

/// A name that the encoder would change: two of those could become one.
bool is_odd(std::string_view name)
{
    return name.find('\0') != name.npos || !text::is_valid_utf8(name);
}

/// For a first look whether a name was there before.
std::uint64_t filter_bit(std::string_view name)
{
    if (name.empty())
        return 1;
    auto byte = [&](std::size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(name[i])); };
    return std::uint64_t{1} << ((byte(0) * 7 + byte(name.size() / 2) * 5 + byte(name.size() - 1) * 13 +
                                 name.size()) %
                                64);
}

std::string repaired(std::string_view name, nul n)
{
    std::string s;
    for (char c : name)
    {
        if (c == '\0' && n == nul::replaced)
            s += "\xef\xbf\xbd";
        else
            s += c;
    }
    return text::to_valid_utf8(s);
}

}  // namespace

verdict json_writer::breach_object(const breach& b,
                                   const master_info& master,
                                   const rules::decision& said,
                                   const options& o,
                                   std::string& out,
                                   std::size_t end)
{
    breach_ = &b;
    master_ = &master;
    said_ = &said;
    options_ = &o;
    nul_ = nul::replaced;
    native_ = o.shape == json_shape::native;
    has_bridge_member_ = o.annotate || o.mark_held_back;
    url_.clear();
    append_breach_url(url_, b, master);
    top_did_.reset();
    // Once: a component's device is compared with it, and a hostile breach has many of both.
    if (std::int64_t did = 0; native_ && b.device && b.device.find("did").integer(did))
        top_did_ = did;
    return fit(b.root, part::root, out, end);
}

verdict json_writer::plain_object(const json::value& o, std::string& out, std::size_t end)
{
    breach_ = nullptr;
    nul_ = nul::escaped;
    native_ = false;
    has_bridge_member_ = false;
    return fit(o, part::plain, out, end);
}

verdict json_writer::fit(const json::value& top, part kind, std::string& out, std::size_t end)
{
    const std::size_t limit = end == no_limit ? no_limit : end - std::min(end, out.size());
    const auto said = render_within(top, kind, limit);
    if (said != verdict::undeliverable)
        out += out_.view();
    out_.clear();
    return said;
}

verdict json_writer::render_within(const json::value& top, part kind, std::size_t limit)
{
    step_ = nothing_left_out;
    truncated_ = false;
    droppable_.fill(0);
    render(top, kind);
    if (out_.size() <= limit)
        return verdict::whole;

    truncated_ = true;
    auto again = [&](std::size_t budget, std::size_t description_room) {
        budget_ = budget;
        description_room_ = description_room;
        render(top, kind);
        return out_.size() <= limit;
    };
    step_ = kind == part::plain ? int{members} : first_step(out_.size() + truncated_member.size() - limit);
    for (; step_ <= members; ++step_)
    {
        if (!again(0, 0))
            continue;
        // What is left goes to the description, or to members in their order.
        const std::size_t left = limit - out_.size();
        if (step_ >= description_cut && left > 0)
            again(left, left);
        return verdict::shortened;
    }
    return verdict::undeliverable;
}

/// The first step that can be enough, so that a long breach is not written once for each.
int json_writer::first_step(std::size_t too_much) const
{
    std::size_t saved = 0;
    for (int s = other_filters; s <= description_cut; ++s)
    {
        saved += droppable_[static_cast<std::size_t>(s)];
        if (saved >= too_much)
            return s;
    }
    return members_but_components;
}

void json_writer::render(const json::value& top, part kind)
{
    out_.clear();
    keys_.clear();
    url_done_ = false;
    device_done_ = false;
    object(top, kind);
}

void json_writer::object(const json::value& o, part kind)
{
    out_ += '{';
    members_of(o, kind);
    tail(kind);
    out_ += '}';
}

/// The step from which on a member is left out, or 0. The description is cut first and left out with the
/// members.
int json_writer::left_out_from(std::string_view name, part kind)
{
    switch (kind)
    {
        case part::component:
            return name == "logic" ? component_logic : 0;
        case part::model:
        case part::other_model:
            return name == "logic"         ? model_logic
                   : name == "defeats"     ? defeats
                   : name == "activeTimes" ? active_times
                   : name == "description" ? members_but_components
                                           : 0;
        case part::device:
        case part::other_device:
            return name == "ips" ? device_ips : 0;
        default:
            return 0;
    }
}

bool json_writer::is_reserved(std::string_view name, const json::value& v, part kind) const
{
    const bool with_components = step_ == members_but_components;
    switch (kind)
    {
        case part::root:
            return with_components && name == "triggeredComponents"
                       ? true
                       : is_scalar(v) && (name == "pbid" || name == "time" || name == "score");
        case part::model:
            return is_scalar(v) && (name == "name" || name == "pid" || name == "uuid" ||
                                    (with_components && name == "throttle"));
        case part::device:
            return is_scalar(v) && (name == "hostname" || name == "ip");
        case part::models:
            return name == breach_->then.key();
        default:
            return false;
    }
}

json_writer::part json_writer::inside(std::string_view name, part kind) const
{
    switch (kind)
    {
        case part::root:
            return name == "triggeredComponents" ? part::components : part::other;
        case part::models:
            return name == breach_->then.key()       ? part::model
                   : name == "now" || name == "then" ? part::other_model
                                                     : part::other;
        case part::component:
            return name == "triggeredFilters" ? part::filters
                   : name == "device"         ? part::other_device
                                              : part::other;
        default:
            return part::other;
    }
}

/// Native shape: the device stands once, at the top (darktrace.md 4.2). A component keeps one that is
/// another.
bool json_writer::is_on_top(const json::value& device) const
{
    const auto& top = breach_->device;
    if (!top || !device.is(json::kind::object))
        return false;
    if (top.key().data() == device.key().data())  // the same element of the document
        return true;
    std::int64_t did = 0;
    return top_did_ && device.find("did").integer(did) && did == *top_did_;
}

/// Whether the device stands at the top wherever it came. In the API's shape only where the component that
/// has it may be left out: hostname and ip never are (product.md 6).
bool json_writer::brings_device() const
{
    return native_ || step_ >= members;
}

void json_writer::members_of(const json::value& o, part kind)
{
    sink& out = out_;
    const std::size_t first_key = keys_.size();
    std::uint64_t filter = 0;
    std::unique_ptr<std::unordered_set<std::string_view>> many;
    std::unique_ptr<std::forward_list<std::string>> odd;
    // J4: member names are unique, the first wins.
    auto is_repeated = [&](std::string_view name) {
        const std::uint64_t bit = filter_bit(name);
        const auto first = keys_.begin() + static_cast<std::ptrdiff_t>(first_key);
        if (!many && keys_.size() - first_key < few_members)
        {
            if ((filter & bit) != 0 && std::find(first, keys_.end(), name) != keys_.end())
                return true;
            filter |= bit;
            keys_.push_back(name);
            return false;
        }
        if (!many)
            many = std::make_unique<std::unordered_set<std::string_view>>(first, keys_.end());
        return !many->insert(name).second;
    };
    const bool chooses = step_ >= members_but_components &&
                         (kind == part::root || kind == part::model || kind == part::device ||
                          kind == part::models || kind == part::plain);
    for (json::value v : o)
    {
        std::string_view name = v.key();
        const bool plain = is_plain(name);
        if (!plain && is_odd(name))
        {
            if (!odd)
                odd = std::make_unique<std::forward_list<std::string>>();
            name = odd->emplace_front(repaired(name, nul_));
        }
        if (is_repeated(name))
            continue;
        if (kind == part::other)
        {
            comma_and_name(name, plain);
            any(v, part::other);
            continue;
        }

        const int left_out = left_out_from(name, kind);
        if (left_out != 0 && step_ >= left_out)
            continue;
        const std::size_t mark = out.size();
        if (special_member(name, v, kind))
            continue;
        member(name, v, inside(name, kind), kind);
        std::size_t size = out.size() - mark;
        if (step_ == nothing_left_out && left_out != 0)
        {
            const int saves = left_out == members_but_components ? int{description_cut} : left_out;
            droppable_[static_cast<std::size_t>(saves)] += size;
        }
        if (chooses && !is_reserved(name, v, kind))
        {
            if (out[mark] != ',')
                ++size;  // as the first it came without a comma, but gives one to the reserved member after
                         // it
            if (size > budget_)
                out.resize(mark);
            else
                budget_ -= size;
        }
    }
    keys_.resize(first_key);
}

/// Members that are written otherwise than they came, or not at all.
bool json_writer::special_member(std::string_view name, const json::value& v, part kind)
{
    if (truncated_ && name == "truncated" && (kind == part::root || kind == part::plain))
        return true;
    if (kind == part::component && name == "device")
        return native_ && is_on_top(v);
    if (kind != part::root)
        return false;
    if (name == "dtbridge")
        return has_bridge_member_;  // ours takes the place of one that somebody sent
    if (name == "breachUrl")
    {
        comma_and_name(name);
        append_json_string(out_, url_, nul_);
        url_done_ = true;
        return true;
    }
    if (name == "device" && breach_->device && (brings_device() || v.is(json::kind::object)))
    {
        comma_and_name(name);
        object(brings_device() ? breach_->device : v, part::device);
        device_done_ = true;
        return true;
    }
    if (name == "model" && v.is(json::kind::object) && breach_->then.is(json::kind::object))
    {
        comma_and_name(name);
        const bool flat = native_ || breach_->then.key() == "model";
        object(native_ ? breach_->then : v, flat ? part::model : part::models);
        return true;
    }
    return false;
}

void json_writer::comma_and_name(std::string_view name, bool plain)
{
    if (plain)
    {
        char* const start = out_.room(name.size() + 4);
        char* to = start;
        if (out_.back() != '{')
            *to++ = ',';
        *to++ = '"';
        if (!name.empty())
            std::memcpy(to, name.data(), name.size());
        to += name.size();
        *to++ = '"';
        *to++ = ':';
        out_.advance(static_cast<std::size_t>(to - start));
        return;
    }
    if (out_.back() != '{')
        out_ += ',';
    append_json_string(out_, name, nul_);
    out_ += ':';
}

void json_writer::member(std::string_view name, const json::value& v, part inside, part kind)
{
    comma_and_name(name);
    if (step_ >= description_cut && name == "description" &&
        (kind == part::model || kind == part::other_model) && v.is(json::kind::string))
    {
        const std::size_t start = out_.size();
        append_json_string(out_, v.text(), nul_, description_room_);
        description_room_ -= out_.size() - start - 2;
        return;
    }
    any(v, inside);
}

void json_writer::any(const json::value& v, part kind)
{
    sink& out = out_;
    switch (v.type())
    {
        case json::kind::null:
            out += "null";
            break;
        case json::kind::boolean:
            out += v.boolean() ? std::string_view("true") : std::string_view("false");
            break;
        case json::kind::number:
            if (breach_ == nullptr)
                append_json_number(out, v.text());
            else
                out += v.text();  // as received: no digit of a score or an id is lost
            break;
        case json::kind::string:
            append_json_string(out, v.text(), nul_);
            break;
        case json::kind::array:
            if (kind == part::filters)
            {
                filters_of(v);
                break;
            }
            out += '[';
            for (json::value element : v)
            {
                if (out.back() != '[')
                    out += ',';
                any(element, kind == part::components ? part::component : part::other);
            }
            out += ']';
            break;
        case json::kind::object:
            object(v, kind);
            break;
    }
}

void json_writer::filters_of(const json::value& list)
{
    sink& out = out_;
    kinds_.clear();
    out += '[';
    for (json::value filter : list)
    {
        const std::size_t mark = out.size();
        if (step_ >= one_filter && out.back() != '[')
            break;
        if (step_ >= other_filters)
        {
            auto kind = string_member(filter, "filterType");
            if (kinds_.size() >= max_kinds || std::find(kinds_.begin(), kinds_.end(), kind) != kinds_.end())
                continue;
            kinds_.push_back(kind);
        }
        if (out.back() != '[')
            out += ',';
        any(filter, part::other);
        if (step_ == nothing_left_out)
            droppable_[other_filters] += out.size() - mark;
    }
    out += ']';
}

void json_writer::tail(part kind)
{
    if (kind == part::root)
    {
        if (!url_done_)
        {
            comma_and_name("breachUrl");
            append_json_string(out_, url_, nul_);
        }
        if (brings_device() && !device_done_ && breach_->device)
        {
            comma_and_name("device");
            object(breach_->device, part::device);
        }
        if (has_bridge_member_)
            bridge_member();
    }
    if (truncated_ && (kind == part::root || kind == part::plain))
        out_ += out_.back() == '{' ? truncated_member.substr(1) : truncated_member;
}

void json_writer::bridge_member()
{
    comma_and_name("dtbridge");
    sink& out = out_;
    out += '{';
    if (options_->annotate)
    {
        comma_and_name("master");
        append_json_string(out, master_->name, nul_);
        comma_and_name("labels");
        out += '{';
        const std::size_t first_key = keys_.size();
        auto labels = [&](const std::vector<std::pair<std::string, std::string>>& from) {
            for (const auto& [name, value] : from)
            {
                if (std::find(keys_.begin() + static_cast<std::ptrdiff_t>(first_key), keys_.end(), name) !=
                    keys_.end())
                    continue;
                keys_.push_back(name);
                comma_and_name(name);
                append_json_string(out, value, nul_);
            }
        };
        if (said_->labels != nullptr)
            labels(*said_->labels);  // the model's own come first: they say more
        if (said_->inventory != nullptr)
            labels(*said_->inventory);
        labels(master_->labels);
        keys_.resize(first_key);
        out += '}';
    }
    comma_and_name("decision");
    append_json_string(out, decision_word(*said_), nul_);
    if (options_->annotate)
    {
        comma_and_name("reason");
        append_json_string(out, said_->reason, nul_);
    }
    out += '}';
}

}  // namespace dtbridge::format
