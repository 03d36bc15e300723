#include <dtbridge/core/json.hpp>

#include <boost/json/basic_parser_impl.hpp>

#include <algorithm>
#include <limits>

#include <dtbridge/core/text.hpp>

namespace dtbridge::json
{

/// Puts the events of Boost.JSON's parser down as nodes. While a container is open, its node's `end` holds
/// the index of the container around it, so no stack is needed.
struct document_builder
{
    static constexpr std::size_t max_object_size = std::numeric_limits<std::size_t>::max();
    static constexpr std::size_t max_array_size = std::numeric_limits<std::size_t>::max();
    static constexpr std::size_t max_key_size = std::numeric_limits<std::size_t>::max();
    static constexpr std::size_t max_string_size = std::numeric_limits<std::size_t>::max();

    static constexpr std::uint32_t no_container = std::numeric_limits<std::uint32_t>::max();

    document_builder(document& target, std::string_view from, const limits& bounds)
        : nodes(target.nodes_),
          text(target.text_),
          source(from),
          max_key(bounds.max_key),
          max_values(bounds.max_values)
    {}

    std::vector<document::node>& nodes;
    std::string& text;        // begins with a copy of source
    std::string_view source;  // what is parsed
    std::size_t max_key;
    std::size_t max_values;
    std::uint32_t container = no_container;
    std::uint32_t key_at = 0, key_size = 0;
    std::uint32_t part_size = 0;  // of a string, key or number that came in parts so far
    std::string over;             // which bound was passed

    std::uint32_t here() const { return static_cast<std::uint32_t>(text.size()); }

    document::node* add(kind type, error_code& ec)
    {
        if (nodes.size() >= max_values)
        {
            over = "more than " + std::to_string(max_values) + " values";
            ec = errc::over_limit;
            return nullptr;
        }
        auto& n = nodes.emplace_back();
        n.type = type;
        n.key_at = key_at;
        n.key_size = key_size;
        n.end = static_cast<std::uint32_t>(nodes.size());
        key_size = 0;
        return &n;
    }
    bool part(std::string_view s)
    {
        text += s;
        part_size += static_cast<std::uint32_t>(s.size());
        return true;
    }
    struct place
    {
        std::uint32_t at = 0, size = 0;  // into text
    };
    /// Where a string, key or number lies that ends with s. What came in one part without an escape lies in
    /// the copy of the source already.
    place end_with(std::string_view s)
    {
        const auto begins = reinterpret_cast<std::uintptr_t>(s.data());
        const auto base = reinterpret_cast<std::uintptr_t>(source.data());
        place p;
        if (part_size == 0 && begins >= base && begins - base <= source.size())
        {
            p.at = static_cast<std::uint32_t>(begins - base);
            p.size = static_cast<std::uint32_t>(s.size());
            return p;
        }
        part(s);
        p.at = here() - part_size;
        p.size = part_size;
        part_size = 0;
        return p;
    }
    bool last_part(kind type, std::string_view s, error_code& ec)
    {
        const place p = end_with(s);
        auto* n = add(type, ec);
        if (n == nullptr)
            return false;
        n->text_at = p.at;
        n->text_size = p.size;
        return true;
    }
    bool open(kind type, error_code& ec)
    {
        auto* n = add(type, ec);
        if (n == nullptr)
            return false;
        n->end = container;
        container = static_cast<std::uint32_t>(nodes.size() - 1);
        return true;
    }
    bool close(std::size_t children)
    {
        auto& n = nodes[container];
        container = n.end;
        n.end = static_cast<std::uint32_t>(nodes.size());
        n.text_size = static_cast<std::uint32_t>(children);
        return true;
    }
    bool check_key(std::size_t size, error_code& ec)
    {
        if (size <= max_key)
            return true;
        over = "a member name longer than " + std::to_string(max_key) + " bytes";
        ec = errc::over_limit;
        return false;
    }

    using view = boost::json::string_view;
    static std::string_view std_view(view s) { return {s.data(), s.size()}; }

    bool on_document_begin(error_code&) { return true; }
    bool on_document_end(error_code&) { return true; }
    bool on_object_begin(error_code& ec) { return open(kind::object, ec); }
    bool on_object_end(std::size_t n, error_code&) { return close(n); }
    bool on_array_begin(error_code& ec) { return open(kind::array, ec); }
    bool on_array_end(std::size_t n, error_code&) { return close(n); }
    bool on_key_part(view s, std::size_t n, error_code& ec) { return check_key(n, ec) && part(std_view(s)); }
    bool on_key(view s, std::size_t n, error_code& ec)
    {
        if (!check_key(n, ec))
            return false;
        const place p = end_with(std_view(s));
        key_at = p.at;
        key_size = p.size;
        return true;
    }
    bool on_string_part(view s, std::size_t, error_code&) { return part(std_view(s)); }
    bool on_string(view s, std::size_t, error_code& ec) { return last_part(kind::string, std_view(s), ec); }
    bool on_number_part(view s, error_code&) { return part(std_view(s)); }
    bool on_int64(std::int64_t, view s, error_code& ec) { return last_part(kind::number, std_view(s), ec); }
    bool on_uint64(std::uint64_t, view s, error_code& ec) { return last_part(kind::number, std_view(s), ec); }
    bool on_double(double, view s, error_code& ec) { return last_part(kind::number, std_view(s), ec); }
    bool on_bool(bool b, error_code& ec)
    {
        auto* n = add(kind::boolean, ec);
        if (n != nullptr)
            n->truth = b;
        return n != nullptr;
    }
    bool on_null(error_code& ec) { return add(kind::null, ec) != nullptr; }
    bool on_comment_part(view, error_code&) { return true; }
    bool on_comment(view, error_code&) { return true; }
};

namespace
{

/// Four hex digits of a \u escape at s[at], or -1.
int unicode_escape(std::string_view s, std::size_t at)
{
    if (at + 6 > s.size() || s[at] != '\\' || s[at + 1] != 'u')
        return -1;
    int value = 0;
    for (std::size_t i = at + 2; i < at + 6; ++i)
    {
        const char c = s[i];
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/// Boost.JSON 1.81 refuses lone surrogate escapes; as \ufffd of the same length they pass and offsets stay
/// right. Answers whether there was one.
bool replace_lone_surrogates(std::string& s)
{
    bool changed = false;
    std::size_t i = s.find('\\');
    while (i != s.npos)
    {
        std::size_t step = 2;  // an escaped backslash or quote is passed over whole
        const int first = unicode_escape(s, i);
        if (first >= 0)
            step = 6;
        if (first >= 0xD800 && first <= 0xDFFF)
        {
            const int second = unicode_escape(s, i + 6);
            if (first < 0xDC00 && second >= 0xDC00 && second <= 0xDFFF)
                step = 12;
            else
            {
                s.replace(i, 6, "\\ufffd");
                changed = true;
            }
        }
        i = s.find('\\', i + step);
    }
    return changed;
}

bool is_digits(std::string_view s)
{
    return !s.empty() && std::all_of(s.begin(), s.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// value = digits x 10^exponent, exact or nothing.
bool exact_integer(
    bool negative, std::string_view whole, std::string_view fraction, long long exponent, std::int64_t& out)
{
    char significant[20];
    std::size_t count = 0;
    std::size_t zeros = 0;  // held back: they count only if a digit follows
    long long scale = exponent - static_cast<long long>(fraction.size());
    for (const auto part : {whole, fraction})
        for (const char c : part)
        {
            if (c == '0')
            {
                zeros += count > 0 ? 1 : 0;
                continue;
            }
            if (count + zeros >= 19)
                return false;
            for (; zeros > 0; --zeros)
                significant[count++] = '0';
            significant[count++] = c;
        }
    if (count == 0)
    {
        out = 0;
        return true;
    }
    scale += static_cast<long long>(zeros);
    if (scale < 0 || static_cast<long long>(count) + scale > 19)
        return false;
    std::uint64_t value = 0;  // 19 digits fit
    for (std::size_t i = 0; i < count; ++i)
        value = value * 10 + static_cast<std::uint64_t>(significant[i] - '0');
    for (; scale > 0; --scale)
        value *= 10;
    constexpr auto limit = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (value > limit + (negative ? 1 : 0))
        return false;
    out = negative ? static_cast<std::int64_t>(0 - value) : static_cast<std::int64_t>(value);
    return true;
}

std::string decode_pointer_token(std::string_view token, bool& ok)
{
    std::string out;
    for (std::size_t i = 0; i < token.size(); ++i)
    {
        if (token[i] != '~')
        {
            out += token[i];
            continue;
        }
        ++i;
        if (i >= token.size() || (token[i] != '0' && token[i] != '1'))
        {
            ok = false;
            return out;
        }
        out += token[i] == '0' ? '~' : '/';
    }
    return out;
}

}  // namespace

outcome<value> document::parse(std::string_view text, const limits& bounds)
{
    nodes_.clear();
    text_.clear();
    constexpr std::size_t usual_bytes = 256u << 10;  // what a huge document took is not kept for ever
    if (text.size() <= usual_bytes &&
        (nodes_.capacity() > usual_bytes / 8 || text_.capacity() > 2 * usual_bytes))
    {
        nodes_.shrink_to_fit();
        text_.shrink_to_fit();
    }
    const std::size_t max_bytes = std::min<std::size_t>(bounds.max_bytes, 1u << 31);
    if (text.size() > max_bytes)
        return fail(errc::over_limit,
                    "JSON text of " + std::to_string(text.size()) + " bytes, at most " +
                        std::to_string(max_bytes) + " are taken");
    boost::json::parse_options options;
    options.max_depth = bounds.max_depth;
    options.allow_invalid_utf8 = true;
    std::string repaired;
    std::string_view source = text;
    for (;;)
    {
        text_.assign(source);  // and behind it the strings with escapes, decoded
        boost::json::basic_parser<document_builder> parser(options, *this, source, bounds);
        error_code ec;
        std::size_t used = parser.write_some(false, source.data(), source.size(), ec);
        if (!ec)
        {
            const auto rest = source.find_first_not_of(" \t\r\n", used);
            if (rest == source.npos)
                return root();
            used = rest;
            ec = boost::json::error::extra_data;
        }
        const std::string over = std::move(parser.handler().over);
        nodes_.clear();
        text_.clear();
        if (ec == errc::over_limit)
            return fail(errc::over_limit, "JSON with " + over + " near byte " + std::to_string(used));
        if (ec == boost::json::error::too_deep)
            return fail(errc::over_limit,
                        "JSON nested deeper than " + std::to_string(bounds.max_depth) + " near byte " +
                            std::to_string(used));
        if (repaired.empty())
        {
            repaired.assign(text);
            if (replace_lone_surrogates(repaired))
            {
                source = repaired;
                continue;
            }
        }
        return fail(errc::malformed, "not JSON at byte " + std::to_string(used) + ": " + ec.message());
    }
}

value document::root() const
{
    return nodes_.empty() ? value() : value(this, 0);
}

kind value::type() const
{
    return doc_ == nullptr ? kind::null : doc_->nodes_[index_].type;
}

std::string_view value::key() const
{
    if (doc_ == nullptr)
        return {};
    const auto& n = doc_->nodes_[index_];
    return {doc_->text_.data() + n.key_at, n.key_size};
}

std::string_view value::text() const
{
    if (doc_ == nullptr)
        return {};
    const auto& n = doc_->nodes_[index_];
    if (n.type == kind::string || n.type == kind::number)
        return {doc_->text_.data() + n.text_at, n.text_size};
    if (n.type == kind::boolean)
        return n.truth ? "true" : "false";
    return {};
}

bool value::boolean() const
{
    return doc_ != nullptr && doc_->nodes_[index_].type == kind::boolean && doc_->nodes_[index_].truth;
}

bool value::integer(std::int64_t& out) const
{
    const kind k = type();
    if (k != kind::number && k != kind::string)
        return false;
    std::string_view s = text();
    const bool negative = !s.empty() && s[0] == '-';
    if (negative)
        s.remove_prefix(1);
    if (k == kind::string)
        return is_digits(s) && exact_integer(negative, s, {}, 0, out);
    // A number's text is well-formed: the parser has seen to that.
    const auto e = s.find_first_of("eE");
    long long exponent = 0;
    if (e != s.npos)
    {
        bool minus = false;
        for (const char c : s.substr(e + 1))
            if (c == '-')
                minus = true;
            else if (c != '+')
                exponent = std::min(exponent * 10 + (c - '0'), 1000000000LL);
        exponent = minus ? -exponent : exponent;
    }
    const auto mantissa = s.substr(0, e);
    const auto point = mantissa.find('.');
    const auto fraction = point == mantissa.npos ? std::string_view() : mantissa.substr(point + 1);
    return exact_integer(negative, mantissa.substr(0, point), fraction, exponent, out);
}

value value::find(std::string_view name) const
{
    if (!is(kind::object))
        return {};
    const auto& nodes = doc_->nodes_;
    const std::uint32_t end = nodes[index_].end;
    for (std::uint32_t i = index_ + 1; i < end; i = nodes[i].end)
        if (std::string_view(doc_->text_.data() + nodes[i].key_at, nodes[i].key_size) == name)
            return {doc_, i};
    return {};
}

value value::at_pointer(std::string_view pointer) const
{
    value v = *this;
    while (v && !pointer.empty())
    {
        if (pointer[0] != '/')
            return {};
        pointer.remove_prefix(1);
        const auto end = std::min(pointer.find('/'), pointer.size());
        const auto token = pointer.substr(0, end);
        pointer.remove_prefix(end);
        if (v.is(kind::object))
        {
            if (token.find('~') == token.npos)
            {
                v = v.find(token);
                continue;
            }
            bool ok = true;
            const auto name = decode_pointer_token(token, ok);
            v = ok ? v.find(name) : value();
        }
        else if (v.is(kind::array))
        {
            if (!is_digits(token) || token.size() > 9 || (token.size() > 1 && token[0] == '0'))
                return {};
            std::size_t index = 0;
            for (const char c : token)
                index = index * 10 + static_cast<std::size_t>(c - '0');
            if (index >= v.size())
                return {};
            auto it = v.begin();
            for (; index > 0; --index)
                ++it;
            v = *it;
        }
        else
            return {};
    }
    return v;
}

std::size_t value::size() const
{
    const kind k = type();
    return k == kind::array || k == kind::object ? doc_->nodes_[index_].text_size : 0;
}

value::iterator value::begin() const
{
    const kind k = type();
    if (k != kind::array && k != kind::object)
        return end();
    return {doc_, index_ + 1};
}

value::iterator value::end() const
{
    return doc_ == nullptr ? iterator() : iterator(doc_, doc_->nodes_[index_].end);
}

value value::iterator::operator*() const
{
    return {doc_, index_};
}

value::iterator& value::iterator::operator++()
{
    index_ = doc_->nodes_[index_].end;
    return *this;
}

}  // namespace dtbridge::json
