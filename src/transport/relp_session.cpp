#include <transport/relp_session.hpp>

#include <dtbridge/core/text.hpp>

#include <algorithm>
#include <limits>
#include <utility>

namespace dtbridge::transport
{

namespace
{

constexpr unsigned ok_code = 200;

/// "500 (queue full)", for an operator's eyes.
std::string said(const relp_answer& a)
{
    auto text = std::to_string(a.code);
    if (!a.words.empty())
        text += " (" + text::printable(a.words, 200) + ")";
    return text;
}

}  // namespace

std::uint32_t relp_session::number()
{
    return std::exchange(next_, relp_next(next_));
}

void relp_session::say_open(std::string& out)
{
    opened_by_ = number();
    // Version 0 is what the software in use speaks and offers.
    append_relp_frame(*opened_by_, "open", "relp_version=0\nrelp_software=dtbridge\ncommands=syslog", out);
}

void relp_session::say_messages(const batch& b, std::string& out)
{
    for (std::size_t i = 0; i < b.count(); ++i)
    {
        const auto text = b.piece(i);
        const auto n = number();
        if (messages_.empty())
            first_ = n;
        const auto size = std::min<std::size_t>(text.size(), std::numeric_limits<std::uint32_t>::max());
        messages_.push_back(message{static_cast<std::uint32_t>(size), false});
        append_relp_frame(n, "syslog", text, out);
    }
    batches_.push_back(pending{b.count(), false});
}

void relp_session::say_close(std::string& out)
{
    closed_by_ = number();
    phase_ = phase::closing;
    append_relp_frame(*closed_by_, "close", "", out);
}

void relp_session::written()
{
    if (!batches_.empty())
        batches_.back().written = true;
    settle();
}

void relp_session::settle()
{
    while (!batches_.empty())
    {
        auto& b = batches_.front();
        while (b.left > 0 && !messages_.empty() && messages_.front().answered)
        {
            messages_.pop_front();
            first_ = relp_next(first_);
            --b.left;
        }
        if (b.left > 0 || !b.written)
            return;
        batches_.pop_front();
        ++confirmed_;
    }
}

outcome<bool> relp_session::take(std::string_view bytes)
{
    for (;;)
    {
        switch (reader_.take(bytes))
        {
            case relp_reader::state::more:
                settle();
                return true;
            case relp_reader::state::broken:
                settle();
                return fail(errc::malformed, reader_.wrong());
            case relp_reader::state::whole:
                break;
        }
        if (auto fine = take_frame(reader_.frame()); !fine)
        {
            settle();
            return fine;
        }
    }
}

outcome<bool> relp_session::take_frame(const relp_frame& f)
{
    if (f.number == 0)
    {
        // Hints may be ignored, and those that are not known are.
        server_closing_ = server_closing_ || f.command == "serverclose";
        return true;
    }
    if (f.command != "rsp")
        return fail(errc::malformed, "sends the command \"" + f.command + "\" where only answers may come");
    return take_answer(f);
}

outcome<bool> relp_session::take_answer(const relp_frame& f)
{
    // rsyslog answers "close" with no data at all.
    const bool is_close = phase_ == phase::closing && f.number == closed_by_;
    auto answer = read_relp_answer(f.data);
    if (!answer && !(is_close && f.data.empty()))
        return fail(
            errc::malformed,
            "sends an answer that has no code of three digits: \"" + text::printable(f.data, 80) + "\"");
    if (opened_by_ && f.number == *opened_by_)
    {
        ++answers_;
        opened_by_.reset();
        return opened(*answer);
    }
    if (is_close)
    {
        // Whatever the code: nothing is asked of the collector any more.
        ++answers_;
        phase_ = phase::closed;
        return true;
    }
    const auto behind = (f.number + relp_last_number - first_) % relp_last_number;
    if (behind >= messages_.size() || messages_[behind].answered)
        return fail(errc::malformed,
                    "answers message number " + std::to_string(f.number) + ", which waits for no answer");
    if (answer->code != ok_code)
        return fail(errc::refused, "refused a message with the answer " + said(*answer));
    ++answers_;
    messages_[behind].answered = true;
    return true;
}

outcome<bool> relp_session::opened(const relp_answer& a)
{
    if (a.code != ok_code)
        return fail(errc::refused, "refused the RELP session with the answer " + said(a));
    const auto offers = read_relp_offers(a.rest);
    // "If it is not [included], the client MUST close the connection" (RELP, command "open").
    if (!offers.has_version)
        return fail(errc::refused, "offers no version of RELP that the bridge speaks (0 or 1)");
    if (!offers.has_syslog)
        return fail(errc::refused, "does not offer the RELP command \"syslog\", so it takes no messages");
    phase_ = phase::open;
    return true;
}

}  // namespace dtbridge::transport
