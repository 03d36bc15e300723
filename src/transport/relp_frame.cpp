#include <transport/relp_frame.hpp>

#include <algorithm>
#include <charconv>

namespace dtbridge::transport
{

namespace
{

constexpr std::size_t most_digits = 9;
constexpr std::size_t most_letters = 32;

bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

void append_number(std::size_t number, std::string& out)
{
    char digits[20];
    const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
    out.append(digits, end);
}

/// The text up to the separator, which is taken too; all of it where there is none.
std::string_view cut(std::string_view& from, char separator)
{
    const auto at = from.find(separator);
    const auto piece = from.substr(0, at);
    from.remove_prefix(at == std::string_view::npos ? from.size() : at + 1);
    return piece;
}

}  // namespace

void append_relp_frame(std::uint32_t number,
                       std::string_view command,
                       std::string_view data,
                       std::string& out)
{
    append_number(number, out);
    out.push_back(' ');
    out.append(command);
    out.push_back(' ');
    append_number(data.size(), out);
    if (!data.empty())
    {
        out.push_back(' ');
        out.append(data);
    }
    out.push_back('\n');
}

relp_reader::state relp_reader::broken(std::string_view why)
{
    wrong_ = why;
    return state::broken;
}

relp_reader::state relp_reader::digit(char c, std::uint32_t& into, std::string_view name)
{
    if (!is_digit(c))
        return broken("sends no RELP: the " + std::string(name) + " of a frame is not a number");
    if (++digits_ > most_digits)
        return broken("sends no RELP: the " + std::string(name) + " of a frame has more than nine digits");
    into = into * 10 + static_cast<std::uint32_t>(c - '0');
    return state::more;
}

relp_reader::state relp_reader::header(char c)
{
    switch (part_)
    {
        case part::number:
            if (c == ' ' && digits_ > 0)
            {
                part_ = part::command;
                return state::more;
            }
            return digit(c, number_, "number");
        case part::command:
            if (c == ' ' && !frame_.command.empty())
            {
                part_ = part::length;
                digits_ = 0;
                return state::more;
            }
            if (!is_letter(c) || frame_.command.size() >= most_letters)
                return broken("sends no RELP: the command of a frame is not 1 to 32 letters");
            frame_.command.push_back(c);
            return state::more;
        case part::length:
            if ((c == ' ' || c == '\n') && digits_ > 0)
            {
                if (length_ > most_data)
                    return broken("sends an answer of " + std::to_string(length_) + " bytes; at most " +
                                  std::to_string(most_data) + " are taken");
                // Without data there is no blank either, but some senders write it.
                if (c == '\n' && length_ > 0)
                    return broken("sends no RELP: a frame ends before its data");
                part_ = c == ' ' ? part::data : part::number;
                if (c == '\n')
                    return state::whole;
                if (length_ == 0)
                    part_ = part::end;
                return state::more;
            }
            return digit(c, length_, "length");
        case part::end:
            if (c != '\n')
                return broken("sends no RELP: no line break follows the data of a frame");
            part_ = part::number;
            return state::whole;
        case part::data:
            break;
    }
    return state::more;
}

relp_reader::state relp_reader::take(std::string_view& from)
{
    if (!wrong_.empty())
        return state::broken;
    while (!from.empty())
    {
        if (taken_)
        {
            frame_.command.clear();
            frame_.data.clear();
            number_ = length_ = 0;
            digits_ = 0;
            taken_ = false;
        }
        if (part_ == part::data)
        {
            const auto n = std::min<std::size_t>(from.size(), length_ - frame_.data.size());
            frame_.data.append(from.substr(0, n));
            from.remove_prefix(n);
            if (frame_.data.size() == length_)
                part_ = part::end;
            continue;
        }
        const char c = from.front();
        from.remove_prefix(1);
        const auto now = header(c);
        if (now == state::broken)
            return now;
        if (now == state::whole)
        {
            frame_.number = number_;
            taken_ = true;
            digits_ = 0;
            return now;
        }
    }
    return state::more;
}

std::optional<relp_answer> read_relp_answer(std::string_view data)
{
    if (data.size() < 3 || !is_digit(data[0]) || !is_digit(data[1]) || !is_digit(data[2]))
        return {};
    relp_answer a;
    for (const char c : data.substr(0, 3))
        a.code = a.code * 10 + static_cast<unsigned>(c - '0');
    data.remove_prefix(3);
    if (data.empty())
        return a;
    if (data.front() != ' ' && data.front() != '\n')
        return {};
    if (data.front() == ' ')
        data.remove_prefix(1);
    a.words = cut(data, '\n');
    a.rest = data;
    return a;
}

relp_offers read_relp_offers(std::string_view rest)
{
    relp_offers found;
    while (!rest.empty())
    {
        auto value = cut(rest, '\n');
        const auto name = cut(value, '=');
        while (!value.empty())
        {
            const auto one = cut(value, ',');
            if (name == "relp_version")
                found.has_version = found.has_version || one == "0" || one == "1";
            else if (name == "commands")
                found.has_syslog = found.has_syslog || one == "syslog";
        }
    }
    return found;
}

}  // namespace dtbridge::transport
