#pragma once

/// A JSON document as it was received: key order, repeated keys and the digits of every number are kept,
/// because the archive is byte-exact and the native JSON output carries numbers as received (product.md 6).
/// Parsing is Boost.JSON's; this is only the place where its events are put down. A document is reused from
/// breach to breach, so that the hot path allocates nothing.

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <dtbridge/core/failure.hpp>

namespace dtbridge::json
{

enum class kind : std::uint8_t { null, boolean, number, string, array, object };

/// Bounds of hostile input (product.md 3). A document over one of them is refused whole.
struct limits
{
    std::size_t max_depth = 256;
    std::size_t max_key = 1024;        ///< bytes of one member name
    std::size_t max_bytes = 4u << 20;  ///< bytes of the text
    std::size_t max_values = 500000;  ///< values of all kinds: 4 MiB of "[0,0,..." would take 50 MiB as nodes
};

class document;

/// One value of a document, or "missing" (false). A view: valid until the document is parsed into again or
/// destroyed.
class value
{
public:
    value() = default;
    explicit operator bool() const { return doc_ != nullptr; }

    /// kind::null for a missing value too.
    kind type() const;
    bool is(kind k) const { return doc_ != nullptr && type() == k; }
    /// Name of a member, decoded; "" for an element of an array and for the root.
    std::string_view key() const;
    /// A string decoded (may hold NUL; ill-formed UTF-8 as received; a lone surrogate has become U+FFFD); a
    /// number's characters exactly as received; "true", "false"; "" for everything else.
    std::string_view text() const;
    bool boolean() const;
    /// An integer: a number or a string of digits, or a number that is exactly integral ("9.10003e5",
    /// "17.0"), inside int64. Answers false and leaves out alone otherwise. Never goes through a double.
    bool integer(std::int64_t& out) const;
    /// Member of an object by name, the first of that name; missing if there is none or this is no object.
    value find(std::string_view name) const;
    /// RFC 6901 pointer, "" is this value itself.
    value at_pointer(std::string_view pointer) const;
    /// Number of children of an array or object.
    std::size_t size() const;

    class iterator;
    iterator begin() const;  ///< children in the order received, repeated keys included
    iterator end() const;

private:
    friend class document;
    friend class iterator;
    value(const document* doc, std::uint32_t index) : doc_(doc), index_(index) {}
    const document* doc_ = nullptr;
    std::uint32_t index_ = 0;
};

class document
{
public:
    /// Replaces the content. On failure the document is empty and the failure says what is wrong and at which
    /// byte. Lone surrogate escapes are taken as U+FFFD, ill-formed UTF-8 is kept as it is.
    outcome<value> parse(std::string_view text, const limits& bounds = {});
    /// Missing if nothing was parsed.
    value root() const;

private:
    friend class value;
    friend struct document_builder;
    struct node
    {
        kind type = kind::null;
        bool truth = false;
        std::uint32_t key_at = 0, key_size = 0;  // into text_
        std::uint32_t text_at = 0,
                      text_size = 0;  // into text_; for containers text_size is the number of children
        std::uint32_t end = 0;        // index one past the last descendant
    };
    std::vector<node> nodes_;
    std::string text_;  // as it was received, and behind it what had escapes, decoded
};

class value::iterator
{
public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = value;
    using difference_type = std::ptrdiff_t;
    using pointer = const value*;
    using reference = value;

    iterator() = default;
    iterator(const document* doc, std::uint32_t index) : doc_(doc), index_(index) {}
    value operator*() const;
    iterator& operator++();
    iterator operator++(int)
    {
        auto old = *this;
        ++*this;
        return old;
    }
    bool operator==(const iterator& other) const { return index_ == other.index_; }

private:
    const document* doc_ = nullptr;
    std::uint32_t index_ = 0;
};

}  // namespace dtbridge::json
