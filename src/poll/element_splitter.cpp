#include <dtbridge/poll/element_splitter.hpp>

#include <algorithm>
#include <bit>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace dtbridge::poll
{
namespace
{

constexpr bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

constexpr std::size_t block = 64;

/// One bit per byte of a block.
struct masks
{
    std::uint64_t quotes = 0, backslashes = 0, opens = 0, closes = 0;
};

#ifdef __SSE2__
masks find(const char* p)
{
    masks m;
    const __m128i quote = _mm_set1_epi8('"');
    const __m128i backslash = _mm_set1_epi8('\\');
    const __m128i open = _mm_set1_epi8('{');
    const __m128i close = _mm_set1_epi8('}');
    const __m128i bit = _mm_set1_epi8(0x20);
    for (unsigned i = 0; i < 4; ++i)
    {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16 * i));
        const __m128i folded = _mm_or_si128(bytes, bit);  // '[' is '{' and ']' is '}' without this bit
        const auto bits = [i](__m128i equal) {
            return static_cast<std::uint64_t>(static_cast<unsigned>(_mm_movemask_epi8(equal))) << (16 * i);
        };
        m.quotes |= bits(_mm_cmpeq_epi8(bytes, quote));
        m.backslashes |= bits(_mm_cmpeq_epi8(bytes, backslash));
        m.opens |= bits(_mm_cmpeq_epi8(folded, open));
        m.closes |= bits(_mm_cmpeq_epi8(folded, close));
    }
    return m;
}
#else
masks find(const char* p)
{
    masks m;
    for (unsigned i = 0; i < block; ++i)
    {
        const auto bit = std::uint64_t{1} << i;
        const char folded = static_cast<char>(p[i] | 0x20);
        m.quotes |= p[i] == '"' ? bit : 0;
        m.backslashes |= p[i] == '\\' ? bit : 0;
        m.opens |= folded == '{' ? bit : 0;
        m.closes |= folded == '}' ? bit : 0;
    }
    return m;
}
#endif

/// Bit i of the answer: an odd number of bits of m at or below i.
std::uint64_t prefix_xor(std::uint64_t m)
{
    m ^= m << 1;
    m ^= m << 2;
    m ^= m << 4;
    m ^= m << 8;
    m ^= m << 16;
    m ^= m << 32;
    return m;
}

/// Bytes that a backslash before them makes ordinary. carry: in and out, whether the first byte of the next
/// block is one.
std::uint64_t escaped_bytes(std::uint64_t backslashes, bool& carry)
{
    std::uint64_t escaped = carry ? 1 : 0;
    backslashes &= ~escaped;
    carry = false;
    while (backslashes != 0)
    {
        const int at = std::countr_zero(backslashes);
        if (at == 63)
        {
            carry = true;
            break;
        }
        escaped |= std::uint64_t{2} << at;
        backslashes &= ~(std::uint64_t{3} << at);
    }
    return escaped;
}

}  // namespace

element_splitter::element_splitter() : element_splitter(limits{}) {}

element_splitter::element_splitter(limits l) : limits_(l) {}

void element_splitter::feed(std::string_view piece)
{
    piece_ = piece;
    at_ = 0;
    from_ = 0;
    bytes_ += piece.size();
    if (head_.size() < limits_.kept_head)
        head_.append(piece.substr(0, limits_.kept_head - head_.size()));
}

void element_splitter::begin(std::size_t at, state s)
{
    state_ = s;
    from_ = at;
    partial_.clear();
    partial_size_ = 0;
    skipping_ = false;
    depth_ = 0;
    in_string_ = false;
    escaped_ = false;
}

/// Advances at_ to one past the end of the present object, array or string. False when the piece ends first.
bool element_splitter::scan_container()
{
    const std::size_t size = piece_.size();
    while (at_ < size)
    {
        const std::size_t n = std::min(block, size - at_);
        char tail[block];
        const char* p = piece_.data() + at_;
        if (n < block)
        {
            std::memset(tail, ' ', sizeof tail);
            std::memcpy(tail, p, n);
            p = tail;
        }
        const bool was_in_string = in_string_;
        masks m = find(p);
        // Outside a string a backslash is an error of that element alone; it escapes nothing that matters
        // here.
        bool carry = escaped_;
        if (m.backslashes != 0 || carry)
            m.quotes &= ~escaped_bytes(m.backslashes, carry);
        std::uint64_t inside = prefix_xor(m.quotes);
        if (was_in_string)
            inside = ~inside;
        const std::uint64_t opens = m.opens & ~inside;
        const std::uint64_t closes = m.closes & ~inside;
        const auto closing = static_cast<std::uint64_t>(std::popcount(closes));
        // Where the element cannot end in this block, counting is enough.
        if (depth_ > closing)
        {
            depth_ += static_cast<std::uint64_t>(std::popcount(opens));
            depth_ -= closing;
        }
        else
        {
            std::uint64_t ends = opens | closes;
            // A string that is an element itself ends at its closing quote, outside of every bracket.
            if (depth_ == 0)
                ends |= m.quotes & ~inside;
            while (ends != 0)
            {
                const int i = std::countr_zero(ends);
                const auto bit = std::uint64_t{1} << i;
                ends &= ends - 1;
                if ((opens & bit) != 0)
                    ++depth_;
                else if ((closes & bit) != 0 && depth_ > 0)
                    --depth_;
                if (depth_ == 0 && (opens & bit) == 0)
                {
                    at_ += static_cast<std::size_t>(i) + 1;
                    return true;
                }
            }
        }
        in_string_ = (inside >> (n - 1) & 1) != 0;
        // Padding blanks follow a last backslash at once, so the carry has to be looked up where the piece
        // ends.
        if (n < block)
        {
            bool last = escaped_;
            const std::uint64_t cut = m.backslashes << (block - n);
            std::uint64_t run = 0;
            if (cut != 0)
                run = static_cast<std::uint64_t>(std::countl_one(cut));
            if (run == n)
                last = (run % 2 != 0) != escaped_;
            else
                last = run % 2 != 0;
            carry = last;
        }
        escaped_ = carry;
        at_ += n;
    }
    return false;
}

void element_splitter::scan_scalar()
{
    while (at_ < piece_.size() && piece_[at_] != ',' && piece_[at_] != ']')
        ++at_;
}

void element_splitter::keep_partial(std::size_t end)
{
    const std::string_view part = piece_.substr(from_, end - from_);
    partial_size_ += part.size();
    if (!skipping_ && partial_.size() + part.size() > limits_.max_element)
    {
        skipping_ = true;
        if (partial_.size() < limits_.kept_start)
            partial_.append(part.substr(0, limits_.kept_start - partial_.size()));
        partial_.resize(std::min(partial_.size(), limits_.kept_start));
        partial_.shrink_to_fit();
        return;
    }
    if (!skipping_)
        partial_.append(part);
}

element_splitter::event element_splitter::finish_element(std::size_t end)
{
    ++count_;
    if (partial_size_ == 0)
    {
        element_ = piece_.substr(from_, end - from_);
        size_ = element_.size();
        if (size_ <= limits_.max_element)
            return event::element;
        element_ = element_.substr(0, limits_.kept_start);
        return event::oversized;
    }
    keep_partial(end);
    element_ = partial_;
    size_ = partial_size_;
    return skipping_ ? event::oversized : event::element;
}

element_splitter::event element_splitter::next()
{
    while (at_ < piece_.size())
    {
        const char c = piece_[at_];
        switch (state_)
        {
            case state::start:
                // A byte order mark is no part of the text (RFC 8259 8.1 lets a reader ignore it).
                if (bom_ < 3 && c == "\xEF\xBB\xBF"[bom_])
                {
                    ++bom_;
                    ++at_;
                    break;
                }
                if (is_space(c))
                {
                    ++at_;
                    break;
                }
                bom_ = 3;
                if (c == '[')
                {
                    state_ = state::first;
                    ++at_;
                }
                else if (c == '{')
                {
                    top_object_ = true;
                    begin(at_, state::container);
                }
                else
                {
                    state_ = state::ignored;
                }
                break;
            case state::first:
            case state::element_:
                if (is_space(c))
                {
                    ++at_;
                    break;
                }
                if (c == ']')
                {
                    broken_ = broken_ || state_ == state::element_;  // a comma before it
                    closed_ = true;
                    state_ = state::after;
                    ++at_;
                    break;
                }
                if (c == ',')
                {
                    broken_ = true;
                    state_ = state::element_;
                    ++at_;
                    break;
                }
                begin(at_, c == '{' || c == '[' || c == '"' ? state::container : state::scalar);
                break;
            case state::separator:
                if (is_space(c))
                {
                    ++at_;
                }
                else if (c == ',')
                {
                    state_ = state::element_;
                    ++at_;
                }
                else if (c == ']')
                {
                    closed_ = true;
                    state_ = state::after;
                    ++at_;
                }
                else
                {
                    broken_ = true;
                    state_ = state::element_;
                }
                break;
            case state::container:
                if (scan_container())
                {
                    const event e = finish_element(at_);
                    closed_ = top_object_;
                    state_ = top_object_ ? state::after : state::separator;
                    return e;
                }
                break;
            case state::scalar:
                scan_scalar();
                if (at_ < piece_.size())
                {
                    event e = finish_element(at_);
                    while (!element_.empty() && is_space(element_.back()))
                        element_.remove_suffix(1);
                    state_ = state::separator;
                    return e;
                }
                break;
            case state::after:
                if (!is_space(c))
                {
                    broken_ = true;
                    at_ = piece_.size();
                    break;
                }
                ++at_;
                break;
            case state::ignored:
                at_ = piece_.size();
                break;
        }
    }
    if ((state_ == state::container || state_ == state::scalar) && from_ < piece_.size())
        keep_partial(piece_.size());
    piece_ = {};
    at_ = 0;
    from_ = 0;
    return event::more;
}

body_shape element_splitter::shape() const
{
    switch (state_)
    {
        case state::start:
            return body_shape::nothing;
        case state::ignored:
            return head_.find_first_not_of(" \t\r\n\xEF\xBB\xBF") != std::string::npos &&
                           head_[head_.find_first_not_of(" \t\r\n\xEF\xBB\xBF")] == '<'
                       ? body_shape::html
                       : body_shape::other;
        default:
            break;
    }
    if (top_object_)
        return !closed_ ? body_shape::object_open : broken_ ? body_shape::object_broken : body_shape::object;
    if (!closed_)
        return body_shape::array_open;
    return broken_ ? body_shape::array_broken : body_shape::array;
}

void element_splitter::reset()
{
    *this = element_splitter(limits_);
}

}  // namespace dtbridge::poll
