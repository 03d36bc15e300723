/// Any text as an inventory of devices: problems, or labels within their bounds that are found by the breach
/// of a device that the file names, and stand in the file.

#include <array>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/core/csv.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/rules/inventory.hpp>

#include "fuzz/decoders.hpp"

namespace
{

using namespace dtbridge;
using rules::inventory_key;

constexpr std::size_t most_labels = 32, longest_value = 1024, most_warnings = 101;

[[noreturn]] void broken(const std::string& what, std::string_view text)
{
    std::cerr << what << ": " << text::printable(text, 20'000) << '\n';
    std::abort();
}

/// A breach of a device that nothing but this is known of; no JSON where a control is in the value.
std::string element_of(std::string_view member, std::string_view value)
{
    std::string escaped;
    for (const char c : value)
    {
        if (c == '"' || c == '\\')
            escaped += '\\';
        escaped += c;
    }
    return R"({"pbid":1,"device":{")" + std::string(member) + R"(":")" + escaped + R"("}})";
}

void check_labels(const rules::labels& found, std::string_view text)
{
    if (found.size() > most_labels)
        broken("more labels than there may be", text);
    for (const auto& [name, value] : found)
    {
        if (name.empty() || name.size() > 63 || value.empty() || value.size() > longest_value)
            broken("a label out of bounds: " + name, text);
        for (const char c : name)
        {
            if (!fuzz::is_alphanumeric(c) && c != '_' && c != '-')
                broken("no label's name: " + name, text);
        }
        if (fuzz::repaired(value, false) != value)
            broken("a label that is no UTF-8: " + name, text);
    }
}

/// The first fields of the file as a device's key: one of them finds a row, if there are any, and what is
/// found stands in the file.
void check_found(const rules::inventory& devices, std::string_view member, std::string_view text)
{
    csv::reader records(text);
    csv::record row;
    std::size_t looked_at = 0, found = 0;
    bool all = true;
    while (looked_at < 64 && records.next(row))
    {
        for (const auto& field : row.fields)
        {
            breach b;
            if (field.size() > 300 || !b.read(element_of(member, field)))
            {
                all = false;
                continue;
            }
            ++looked_at;
            const auto* labels = rules::known_of(b, nullptr, &devices).inventory;
            if (labels == nullptr)
                continue;
            ++found;
            check_labels(*labels, text);
            for (const auto& [name, value] : *labels)
            {
                const auto* again = rules::find_label_value({labels, nullptr}, name);
                const bool written_so = text.find('"') == text.npos;
                if (!again || *again != value || (written_so && text.find(value) == text.npos))
                    broken("a label that the file does not have: " + value, text);
            }
        }
    }
    all = all && !records.next(row);
    if (devices.size() > 0 && found == 0 && all)
        broken("a row that is found by none of its fields", text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    constexpr std::array members = {std::pair(inventory_key::ip, "ip"),
                                    std::pair(inventory_key::mac, "macaddress"),
                                    std::pair(inventory_key::hostname, "hostname")};
    for (const auto& [key, member] : members)
    {
        const auto loaded = rules::load_inventory_text(text, "fuzz.csv", key);
        std::size_t warnings = 0;
        for (const auto& p : loaded.problems)
        {
            warnings += p.warning ? 1 : 0;
            if (p.message.empty() || p.file != "fuzz.csv" || !fuzz::is_one_line(p.key) ||
                !fuzz::is_one_line(p.message))
                broken("a problem that is not one line of words: " + p.key, p.message);
        }
        if (warnings > most_warnings)
            broken("too many warnings", text);
        if ((loaded.value == nullptr) != (warnings < loaded.problems.size()))
            broken("used though it is wrong, or not used though it is right", text);
        if (loaded.value)
            check_found(*loaded.value, member, text);
    }
    return 0;
}
