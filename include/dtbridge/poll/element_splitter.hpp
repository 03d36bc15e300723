#pragma once

/// Cuts an answer into the elements of its top-level array while it streams in, without parsing them: one bad
/// element costs that element alone, and memory is bounded by one element whatever the size of the answer.
/// Pure.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dtbridge::poll
{

/// What the body has turned out to be so far.
enum class body_shape {
    nothing,        ///< no byte but white space
    array_open,     ///< an array whose end has not come: at the end of the body, a cut answer
    array,          ///< a complete array, well-formed between its elements
    array_broken,   ///< between the elements, or after the array, stands what no JSON array has there
    object_open,    ///< one object whose end has not come
    object,         ///< one complete object
    object_broken,  ///< something follows the object
    html,           ///< begins with '<'
    other,          ///< a JSON scalar, or a text
};

class element_splitter
{
public:
    struct limits
    {
        std::size_t max_element = 4u << 20;  ///< bytes; a longer one is passed over to its end
        std::size_t kept_start = 64u << 10;  ///< of such an element
        std::size_t kept_head = 8u << 10;    ///< of the body, for what is no array
    };
    enum class event {
        more,       ///< feed the next piece
        element,    ///< element() is a complete element, without outer white space
        oversized,  ///< element() is the start of one over max_element, size() its whole length
    };

    element_splitter();
    explicit element_splitter(limits l);

    /// Gives the next piece, when next() has answered more. The piece must live until next() answers more
    /// again.
    void feed(std::string_view piece);
    event next();
    /// Valid until the next call of next() or feed().
    std::string_view element() const { return element_; }
    std::uint64_t size() const { return size_; }

    /// What was fed so far, judged as if it ended here.
    body_shape shape() const;
    /// Elements that were yielded, oversized ones included.
    std::uint64_t count() const { return count_; }
    std::uint64_t bytes() const { return bytes_; }
    /// The first bytes of the body.
    std::string_view head() const { return head_; }
    /// Forgets everything, for another answer.
    void reset();

private:
    enum class state {
        start,      // before the first byte
        first,      // after '[': an element or ']'
        element_,   // after ',': an element
        separator,  // after an element: ',' or ']'
        container,  // inside an element that is an object, an array or a string
        scalar,     // inside any other element
        after,      // behind the top-level value
        ignored,    // html, text: only head_ is of interest
    };
    bool scan_container();
    void scan_scalar();
    void begin(std::size_t at, state s);
    event finish_element(std::size_t end);
    void keep_partial(std::size_t end);

    limits limits_;
    std::string_view piece_;
    std::size_t at_ = 0;    // next byte of piece_ to look at
    std::size_t from_ = 0;  // first byte of the present element in piece_
    std::string partial_;   // the element's bytes of earlier pieces
    std::string head_;
    std::string_view element_;
    std::uint64_t partial_size_ = 0;  // of earlier pieces, kept or not
    std::uint64_t size_ = 0, count_ = 0, bytes_ = 0;
    std::uint64_t depth_ = 0;
    bool in_string_ = false, escaped_ = false, skipping_ = false;
    bool top_object_ = false, broken_ = false, closed_ = false;
    unsigned bom_ = 0;
    state state_ = state::start;
};

}  // namespace dtbridge::poll
