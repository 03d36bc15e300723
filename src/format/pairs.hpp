#pragma once

/// The key=value part of CEF and LEEF: what the two have in common is keys that appear once, units that are
/// sent whole or not at all, and a limit that is kept by leaving units out (U1). Their headers are in cef.hpp
/// and leef.hpp.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "format/clean.hpp"
#include "format/item.hpp"
#include "format/keys.hpp"

namespace dtbridge::format
{

struct pair_style
{
    bool leef = false;
    int cef_version = 0;
    char delimiter = ' ';      ///< ' ' for CEF
    bool mask_equals = false;  ///< L11
};

/// Memory that writers of one formatter use in turn.
struct pair_memory
{
    std::vector<std::string_view> seen;
    std::string text;
};

class pair_writer
{
public:
    /// out ends in the header (and, with CEF, the space that some readers want). end: no pair goes beyond
    /// this size of out; no_limit is without.
    pair_writer(std::string& out, std::size_t end, const pair_style& style, pair_memory& memory);

    enum class added {
        sent,
        nothing,  ///< a bad or repeated key, an empty value, one of the wrong kind, a custom field without
                  ///< label
        no_room,
    };
    /// Appends one pair, with CEF its label and with LEEF's devTime its format. key must outlive the writer.
    added add(std::string_view key,
              const key_info& info,
              value_kind kind,
              const item& v,
              std::string_view label = {});

    /// For units of several pairs: everything after mark() is taken back.
    struct state
    {
        std::size_t size, last_start, before_last, seen;
    };
    state mark() const;
    void take_back(const state& s);

    /// darktraceUrl never ends a CEF message (darktrace.md 4.3): parsers look for the key after it.
    void finish();

    bool shortened() const { return shortened_; }
    std::size_t sent() const { return memory_.seen.size(); }

private:
    bool append_value(
        std::string_view key, const key_info& info, value_kind kind, const item& v, std::size_t room);
    bool is_repeated(std::string_view key) const;
    void remember(std::string_view key, std::size_t start);

    std::string& out_;
    const std::size_t begin_;
    const std::size_t end_;
    const pair_style style_;
    pair_memory& memory_;
    std::uint64_t seen_filter_ = 0;
    std::size_t last_start_, before_last_;  // where the last pair and the one before it start
    bool shortened_ = false;
};

}  // namespace dtbridge::format
