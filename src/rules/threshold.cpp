#include <rules/mapping.hpp>

#include <dtbridge/core/text.hpp>

namespace dtbridge::rules
{

std::string read_threshold(std::string_view text, threshold& limit)
{
    text = text::trim_blank(text);
    const std::string expected = "expected a number from 0 to 1, or a percentage such as \"40%\"";
    const std::string found = "found " + (text.empty() ? "nothing" : text::printable(text, 60)) + "; ";
    std::string number(text);
    const bool percent = !text.empty() && text.back() == '%';
    if (percent)
    {
        number = text::trim_blank(text.substr(0, text.size() - 1));
        if (number.find_first_of("eE") != number.npos)
            return found + expected;
    }
    const auto value = decimal::parse(percent ? number + "e-2" : number);  // exact: only the point moves
    if (!value)
        return found + expected;
    static const decimal zero = *decimal::parse("0"), one = *decimal::parse("1"),
                         hundred = *decimal::parse("100");
    if (*value < zero || one < *value)
    {
        if (!percent && one < *value && !(hundred < *value))
            return found + "expected at most 1: for " + number + " percent write \"" + number + "%\"";
        return found + expected;
    }
    limit.value = *value;
    constexpr std::size_t readable = 20;
    limit.shown = number.size() > readable ? value->text() : percent ? number + '%' : number;
    return {};
}

}  // namespace dtbridge::rules
