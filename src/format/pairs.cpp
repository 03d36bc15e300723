#include "format/pairs.hpp"

#include <dtbridge/core/decimal.hpp>
#include <dtbridge/core/ip.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>

#include <algorithm>
#include <charconv>

namespace dtbridge::format
{
namespace
{

std::uint64_t key_bit(std::string_view key)
{
    auto sum = static_cast<unsigned>(static_cast<unsigned char>(key.front())) * 7u +
               static_cast<unsigned>(static_cast<unsigned char>(key.back())) * 13u +
               static_cast<unsigned>(key.size());
    return std::uint64_t{1} << (sum % 64u);
}

void append_integer(std::string& out, std::int64_t i)
{
    char digits[24];
    out.append(digits, std::to_chars(digits, digits + sizeof digits, i).ptr);
}

}  // namespace

pair_writer::pair_writer(std::string& out, std::size_t end, const pair_style& style, pair_memory& memory)
    : out_(out),
      begin_(out.size()),
      end_(end),
      style_(style),
      memory_(memory),
      last_start_(out.size()),
      before_last_(out.size())
{
    memory_.seen.clear();
}

bool pair_writer::is_repeated(std::string_view key) const
{
    return (seen_filter_ & key_bit(key)) != 0 &&
           std::find(memory_.seen.begin(), memory_.seen.end(), key) != memory_.seen.end();
}

void pair_writer::remember(std::string_view key, std::size_t start)
{
    seen_filter_ |= key_bit(key);
    memory_.seen.push_back(key);
    before_last_ = last_start_;
    last_start_ = start;
}

pair_writer::state pair_writer::mark() const
{
    return {out_.size(), last_start_, before_last_, memory_.seen.size()};
}

void pair_writer::take_back(const state& s)
{
    out_.resize(s.size);
    last_start_ = s.last_start;
    before_last_ = s.before_last;
    memory_.seen.resize(s.seen);  // bits that stay in the filter only cost a look
}

bool pair_writer::append_value(
    std::string_view key, const key_info& info, value_kind kind, const item& v, std::size_t room)
{
    const std::size_t start = out_.size();
    switch (kind)
    {
        case value_kind::string: {
            clean_options o;
            o.max_bytes = info.max_bytes != 0 ? info.max_bytes : style_.leef ? no_limit : 1023;
            o.room = room;
            o.delimiter = style_.delimiter;
            o.mask_equals = style_.mask_equals;
            append_clean(
                out_, text_of(v, memory_.text), style_.leef ? place::leef_value : place::cef_value, o);
            break;
        }
        case value_kind::integer: {
            auto i = integer_of(v);
            if (!i || (info.is_port && (*i < 0 || *i > 65535)))
                return false;
            if (style_.leef && key == "sev")
                *i = std::clamp<std::int64_t>(*i, 1, 10);  // L7
            append_integer(out_, *i);
            break;
        }
        case value_kind::number: {
            auto d = decimal::parse(text_of(v, memory_.text));
            if (!d)
                return false;
            auto plain = d->text();
            if (plain.find_first_of("eE") != plain.npos)  // C15: no exponent
                return false;
            out_ += plain;
            break;
        }
        case value_kind::time: {
            auto ms = integer_of(v);
            if (!ms)
                return false;
            if (style_.leef && key == "devTime")
            {
                if (*ms < min_calendar_ms || *ms > max_calendar_ms)
                    return false;
                out_ += leef_time(*ms);  // L8
                break;
            }
            append_integer(out_, *ms);  // C14
            break;
        }
        case value_kind::ip: {
            auto ip = ip_address::parse(text::trim(text_of(v, memory_.text)));
            if (!ip)
                return false;
            if (!style_.leef && (info.only_ipv6 ? !ip->v6 : ip->v6 && style_.cef_version == 0))
                return false;
            out_ += ip->text();
            break;
        }
        case value_kind::mac: {
            auto mac = normal_mac(text::trim(text_of(v, memory_.text)));
            if (!mac)
                return false;
            out_ += *mac;
            break;
        }
    }
    return out_.size() > start;
}

pair_writer::added pair_writer::add(
    std::string_view key, const key_info& info, value_kind kind, const item& v, std::string_view label)
{
    if (v.is == item::form::nothing || !is_plain_key(key))
        return added::nothing;
    if (kind == value_kind::ip && !style_.leef && style_.cef_version == 0 && !info.only_ipv6)
    {
        // C12: in CEF:0 the IPv6 addresses of src, dst and dvc have keys of their own.
        auto ip = ip_address::parse(text::trim(text_of(v, memory_.text)));
        if (ip && ip->v6)
        {
            if (info.ipv6_key.empty())
                return added::nothing;
            auto moved = cef_key(info.ipv6_key);
            auto text = ip->text();
            return add(info.ipv6_key, moved, value_kind::ip, item(text), moved.fixed_label);
        }
    }
    if ((info.needs_label && label.empty()) || is_repeated(key))
        return added::nothing;

    const std::size_t start = out_.size();
    if (start != begin_)
        out_ += style_.delimiter;
    const std::size_t pair_start = out_.size();
    out_ += key;
    out_ += '=';
    const std::size_t value_start = out_.size();
    bool ok = append_value(key, info, kind, v, no_limit);
    if (ok && !style_.leef && !label.empty())
    {
        out_ += ' ';
        out_ += key;
        out_ += "Label=";
        clean_options o;
        o.max_bytes = 1023;
        const std::size_t label_start = out_.size();
        append_clean(out_, label, place::cef_value, o);
        ok = out_.size() > label_start;
    }
    if (ok && style_.leef && key == "devTime")
    {
        out_ += style_.delimiter;
        out_ += "devTimeFormat=MMM dd yyyy HH:mm:ss.SSS z";
        ok = !is_repeated("devTimeFormat");
    }
    const bool over = ok && out_.size() > end_;
    if (over)
    {
        shortened_ = true;
        ok = false;
        if (kind == value_kind::string && may_be_cut(key) && value_start < end_)
        {
            out_.resize(value_start);
            ok = append_value(key, info, kind, v, end_ - value_start);
        }
    }
    if (!ok)
    {
        out_.resize(start);
        return over ? added::no_room : added::nothing;
    }
    remember(key, pair_start);
    return added::sent;
}

void pair_writer::finish()
{
    if (style_.leef || memory_.seen.size() < 2 || memory_.seen.back() != "darktraceUrl")
        return;
    // Only a limit can leave it last. It changes places with the pair before it, unless that is the first
    // (externalId).
    if (before_last_ == begin_ || memory_.seen.size() < 3)
    {
        out_.resize(last_start_ - 1);
        memory_.seen.pop_back();
        return;
    }
    auto at = [&](std::size_t i) { return out_.begin() + static_cast<std::ptrdiff_t>(i); };
    // "A=1 url" becomes "url A=1": both keep their place in a string of the same length.
    std::rotate(at(before_last_), at(last_start_), out_.end());
    const std::size_t url_size = out_.size() - last_start_;
    // The space that stood before the URL is now at the very end.
    out_.pop_back();
    out_.insert(before_last_ + url_size, 1, ' ');
    std::swap(memory_.seen.back(), memory_.seen[memory_.seen.size() - 2]);
}

}  // namespace dtbridge::format
