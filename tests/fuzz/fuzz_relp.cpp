/// Any bytes as what a RELP collector sends: the pieces in which they come change nothing, nothing is
/// confirmed that was not answered, and a failure has words.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <transport/relp_session.hpp>

namespace
{

using namespace dtbridge;
using transport::relp_session;

struct end
{
    bool fine = true;
    std::string words;
    std::uint64_t confirmed = 0, answers = 0;
    std::size_t unanswered = 0;
    bool operator==(const end&) const = default;
};

constexpr std::size_t batches = 8, in_each = 3;

/// A session that is open, or not yet, with messages that wait.
end hear(std::string_view bytes, std::uint32_t first, bool open, std::size_t piece)
{
    relp_session s(first);
    std::string said;
    s.say_open(said);
    end e;
    if (open)
    {
        std::string hello;
        transport::append_relp_frame(first, "rsp", "200 OK\nrelp_version=0\ncommands=syslog", hello);
        if (!s.take(hello))
            std::abort();
        transport::batch b(transport::wire::relp);
        for (std::size_t i = 0; i < in_each; ++i)
            b.add("message");
        for (std::size_t i = 0; i < batches; ++i)
        {
            s.say_messages(b, said);
            s.written();
        }
        s.say_close(said);
    }
    while (!bytes.empty() && e.fine)
    {
        const auto part = bytes.substr(0, piece);
        bytes.remove_prefix(part.size());
        auto fine = s.take(part);
        e.fine = fine.has_value();
        if (!fine)
            e.words = fine.error().detail;
    }
    e.confirmed = s.confirmed();
    e.answers = s.answers();
    e.unanswered = s.unanswered();
    return e;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0)
        return 0;
    const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
    const bool open = (data[0] & 1) != 0;
    // Near the wrap of the numbers too.
    const std::uint32_t first = (data[0] & 2) != 0 ? 999'999'990 : 1;
    const auto whole = hear(bytes, first, open, bytes.size() + 1);
    if (whole != hear(bytes, first, open, 1) || whole != hear(bytes, first, open, 7))
        std::abort();
    if (!whole.fine && (whole.words.empty() || whole.words.size() > 1000 ||
                        whole.words.find_first_of("\r\n") != std::string::npos))
        std::abort();
    if (whole.confirmed > batches || whole.confirmed * in_each > whole.answers)
        std::abort();
    // A frame of an answer has eight bytes at least.
    if (whole.answers > bytes.size() / 8 + 1)
        std::abort();
    return 0;
}
