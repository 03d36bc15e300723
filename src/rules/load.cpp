#include <dtbridge/rules/policy.hpp>

#include <algorithm>
#include <span>

#include <dtbridge/core/file.hpp>
#include <dtbridge/core/text.hpp>

#include <rules/policy_impl.hpp>

namespace dtbridge::rules
{

namespace mappings
{
std::span<const std::pair<std::string_view, std::string_view>> embedded_files();
}

namespace
{

constexpr std::size_t max_rules_bytes = 16u << 20;
constexpr std::size_t max_lines = 200000;

/// A line that says the same model or device in other words would never be asked.
template <class Key, class Index>
void index_rules(const std::vector<rule>& rules,
                 const char* section,
                 std::string (*parse)(std::string_view, Key&),
                 Index& index,
                 reporter& report)
{
    for (std::size_t i = 0; i < rules.size(); ++i)
    {
        const std::string where = std::string(section) + ".\"" + text::printable(rules[i].key, 100) + '"';
        Key key;
        if (auto wrong = parse(rules[i].key, key); !wrong.empty())
        {
            report.error(rules[i].line, where, std::move(wrong));
            continue;
        }
        if (const auto before = index.add(key, i))
            report.error(rules[i].line,
                         where,
                         "says the same as \"" + text::printable(rules[*before].key, 100) + "\" in line " +
                             std::to_string(rules[*before].line) + "; expected one of the two");
    }
    index.sort();
}

loaded failed(reporter&& report)
{
    loaded out;
    out.problems = std::move(report.problems);
    out.ok = false;
    return out;
}

}  // namespace

policy loader::make(std::string file, std::string_view text, mapping&& from, reporter& report)
{
    policy made;
    made.impl_ = std::make_unique<policy::impl>();
    auto& p = *made.impl_;
    p.file = std::move(file);
    p.text = std::string(text);
    p.file_rules = std::move(from);
    index_rules(p.file_rules.models, "models", &parse_model_key, p.models, report);
    index_rules(p.file_rules.devices, "devices", &parse_device_key, p.devices, report);
    p.number_lines();
    return made;
}

loaded load_text(std::string_view text, const std::string& display_name)
{
    reporter report{display_name, {}};
    const bool csv = text::iequals(display_name.substr(display_name.size() -
                                                       std::min<std::size_t>(4, display_name.size())),
                                   ".csv") ||
                     has_csv_header(text);
    if (text.size() > max_rules_bytes)
        report.error(0, "", "found " + std::to_string(text.size()) + " bytes; expected at most 16 MiB");
    else if (static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) > max_lines)
        report.error(0, "", "found more than 200,000 lines; expected at most that many");
    else if (!text::is_valid_utf8(text))
        report.error(
            text::first_ill_formed_line(text), "", "the text is not UTF-8 here; save the file as UTF-8");
    if (report.has_error())
        return failed(std::move(report));

    mapping m;
    if (csv)
        read_csv(text, m, report);
    else
        read_toml(text, m, report);
    loaded out;
    policy made = loader::make(display_name, text, std::move(m), report);
    out.ok = !report.has_error();
    if (out.ok)
        out.value = std::move(made);
    std::stable_sort(report.problems.begin(), report.problems.end(), [](const problem& a, const problem& b) {
        return a.line < b.line;
    });
    out.problems = std::move(report.problems);
    return out;
}

loaded load_file(const std::string& path, const std::string& display_name)
{
    const auto file = read_file(path, max_rules_bytes, file_kind::any);
    if (file)
        return load_text(file->bytes, display_name);
    reporter report{display_name, {}};
    report.error(
        0,
        "",
        file.error().detail + "; expected a mapping file, TOML or CSV, that the service's user may read");
    return failed(std::move(report));
}

std::string_view builtin_mapping(std::string_view name)
{
    for (const auto& [file, text] : mappings::embedded_files())
        if (file == name)
            return text;
    return {};
}

}  // namespace dtbridge::rules
