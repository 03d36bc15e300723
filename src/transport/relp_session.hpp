#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include <dtbridge/core/failure.hpp>
#include <dtbridge/transport/framing.hpp>

#include <transport/relp_frame.hpp>

namespace dtbridge::transport
{

/// The client's side of one RELP session: what it says, what the collector's answers mean, and which batches
/// they confirm. Pure: bytes come in and go out. Remembers a few bytes per unanswered message, never its
/// text.
class relp_session
{
public:
    enum class phase {
        opening,  ///< "open" is not answered yet: nothing else may be said
        open,
        closing,  ///< "close" was said; answers to messages still come before its own
        closed,   ///< "close" was answered
    };

    /// first_number: of "open"; 1 but in tests.
    explicit relp_session(std::uint32_t first_number = 1) : next_(first_number) {}

    /// Each appends what is to be sent. Nothing may be said in a phase that does not allow it.
    void say_open(std::string& out);
    void say_messages(const batch& b, std::string& out);
    void say_close(std::string& out);
    /// The batch of the last say_messages() was written whole: from now on it may count as confirmed.
    void written();

    /// Takes in what the collector sent. A failure (errc::refused: it answered no; errc::malformed: it does
    /// not speak RELP as it should) ends the session; what was answered before it counts. Its detail goes
    /// behind the collector's name.
    outcome<bool> take(std::string_view bytes);

    phase now() const { return phase_; }
    /// The collector said that it is going to close the connection.
    bool is_server_closing() const { return server_closing_; }
    /// Batches that are answered whole, with all before them. Answers may come in any order.
    std::uint64_t confirmed() const { return confirmed_; }
    std::size_t unconfirmed() const { return batches_.size(); }
    /// Messages without an answer, or with one that waits for an earlier one; and "open" and "close".
    std::size_t unanswered() const
    {
        return messages_.size() + (opened_by_ ? 1 : 0) + (phase_ == phase::closing ? 1 : 0);
    }
    /// Length of the oldest message without an answer; 0 without one.
    std::size_t oldest_size() const { return messages_.empty() ? 0 : messages_.front().size; }
    /// How many answers came.
    std::uint64_t answers() const { return answers_; }
    /// The collector's last bytes were a part of a frame.
    bool is_in_frame() const { return !reader_.is_between(); }

private:
    struct message
    {
        std::uint32_t size;
        bool answered;
    };
    struct pending
    {
        std::size_t left;  // messages that are not taken off the front yet
        bool written;
    };
    std::uint32_t number();
    outcome<bool> take_frame(const relp_frame& f);
    outcome<bool> take_answer(const relp_frame& f);
    outcome<bool> opened(const relp_answer& a);
    void settle();

    relp_reader reader_;
    phase phase_ = phase::opening;
    std::uint32_t next_;
    std::optional<std::uint32_t> opened_by_, closed_by_;
    std::uint32_t first_ = 0;  // number of the front of messages_
    std::deque<message> messages_;
    std::deque<pending> batches_;
    std::uint64_t confirmed_ = 0, answers_ = 0;
    bool server_closing_ = false;
};

}  // namespace dtbridge::transport
