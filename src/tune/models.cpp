#include <dtbridge/tune/models.hpp>

#include <algorithm>
#include <cstdio>
#include <unordered_set>

#include <dtbridge/core/text.hpp>
#include <dtbridge/rules/write.hpp>

#include "tune/numbers.hpp"

namespace dtbridge::tune
{

namespace
{

constexpr std::size_t most_tags = 32;
constexpr std::size_t text_bytes = 512;

std::string short_text(std::string_view s)
{
    return std::string(s.substr(0, text_bytes));
}

std::string tags_text(const seen_model& m)
{
    std::string out;
    for (const auto& tag : m.tags)
        out += (out.empty() ? "" : "; ") + text::printable(tag, 100);
    return out;
}

std::string quartile(const seen_model& m, double part)
{
    const auto q = m.scores.quantile(part);
    return q ? score_text(*q) : "";
}

std::string one_digit(double d)
{
    char buffer[64];
    std::snprintf(buffer, sizeof buffer, "%.1f", d);
    return buffer;
}

/// A text cell, always in quotes (RFC 4180 2). What a spreadsheet would run is made a text by the quote that
/// spreadsheets use for that; controls are gone, so that none hides before the sign.
std::string csv_text(std::string_view s)
{
    auto shown = text::printable(s, 1000);
    for (const std::string_view sign : {"=", "+", "-", "@", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20"})
        if (std::string_view(shown)
                .substr(std::min(shown.find_first_not_of(' '), shown.size()))
                .starts_with(sign))
        {
            shown.insert(0, 1, '\'');
            break;
        }
    std::string out = "\"";
    for (const char c : shown)
        out.append(c == '"' ? 2 : 1, c);
    return out + '"';
}

std::string name_of(const seen_model& m)
{
    return m.name.empty() ? "(no name)" : text::printable(m.name, 600);
}

}  // namespace

void survey::take(const breach& b)
{
    ++breaches_;
    if (const auto day = day_of(b.key))
    {
        first_ = std::min(first_.value_or(*day), *day);
        last_ = std::max(last_.value_or(*day), *day);
    }
    auto uuid = short_text(string_member(b.then, "uuid"));
    auto name = model_name(b);
    auto group = uuid.empty() ? rules::model_identity(name) : "\n" + text::lower(uuid);
    auto at = index_.find(group);
    if (at == index_.end())
    {
        if (models_.size() >= bounds_.models)
        {
            ++left_out_;
            return;
        }
        at = index_.emplace(std::move(group), models_.size()).first;
        models_.emplace_back();
    }
    auto& m = models_[at->second];
    ++m.breaches;
    m.name = std::move(name);
    m.uuid = std::move(uuid);
    m.category = short_text(model_category(b.then));
    std::int64_t n = 0;
    m.pid = b.then.find("pid").integer(n) ? std::optional(n) : std::nullopt;
    m.priority = b.then.find("priority").integer(n) ? std::optional(n) : std::nullopt;
    m.tags.clear();
    for (const auto tag : model_tags(b.then))
        if (m.tags.size() < most_tags)
            m.tags.push_back(short_text(tag));
    if (b.score)
        m.scores.add(hundredth(*b.score), false);
}

std::vector<const seen_model*> survey::models() const
{
    std::vector<const seen_model*> out;
    for (const auto& m : models_)
        out.push_back(&m);
    std::stable_sort(out.begin(), out.end(), [](const seen_model* a, const seen_model* b) {
        return a->breaches > b->breaches;
    });
    return out;
}

std::int64_t survey::day_count() const
{
    return first_ ? std::int64_t{*last_} - *first_ + 1 : 0;
}

double survey::per_week(std::int64_t n) const
{
    return 7 * static_cast<double>(n) / static_cast<double>(std::max<std::int64_t>(day_count(), 1));
}

void write_model_table(const survey& s, std::size_t columns, const output& out)
{
    columns = std::max<std::size_t>(columns, 60);
    const auto models = s.models();
    const auto line = [&](std::string text) {
        text.erase(text.find_last_not_of(' ') + 1);
        out((display_width(text) > columns ? fitted(text, columns) : text) + "\n");
    };
    const auto days = s.day_count();
    line(with_commas(static_cast<std::int64_t>(models.size())) +
         (models.size() == 1 ? " model, " : " models, ") + with_commas(s.breaches()) +
         (s.breaches() == 1 ? " breach in " : " breaches in ") + with_commas(days) +
         (days == 1 ? " day" : " days"));
    line("");
    const bool wide = columns >= 110;
    // Quartiles: a quarter of the scores is at or below the first, half at or below the second, ...
    const std::size_t fixed = 10 + 16 + 5 + (wide ? 38 + 16 : 0);
    const auto name = std::min<std::size_t>(columns - fixed - (wide ? 20 : 14), 60);
    const auto category = wide ? std::size_t{15} : std::size_t{13};
    const auto rest = columns - std::min(columns, name + fixed + category);
    line(fitted("model", name) + fitted("a week", 10, true) + "  25%  50%  75%" + "  " + fitted("prio", 4) +
         ' ' + fitted("category", category) + (wide ? fitted("uuid", 38) + fitted("tags", rest) : ""));
    for (const auto* m : models)
        line(fitted(name_of(*m), name) + fitted(rate(s.per_week(m->breaches)), 10, true) +
             fitted(quartile(*m, 0.25), 5, true) + fitted(quartile(*m, 0.5), 5, true) +
             fitted(quartile(*m, 0.75), 5, true) + "  " +
             fitted(m->priority ? std::to_string(*m->priority) : "-", 4) + ' ' +
             fitted(text::printable(m->category, 60), category) +
             (wide ? fitted(text::printable(m->uuid, 60), 38) + tags_text(*m) : ""));
    if (s.left_out() > 0)
        line(with_commas(s.left_out()) + " breaches are of further models, beyond those that are told apart");
}

void write_model_csv(const survey& s, const output& out)
{
    out("model,uuid,pid,category,priority,tags,breaches,breaches_per_week,score_min,score_q1,score_median,"
        "score_q3,score_max\r\n");
    for (const auto* m : s.models())
    {
        std::string row = csv_text(m->name) + ',' + csv_text(m->uuid) + ',' +
                          (m->pid ? csv_text(std::to_string(*m->pid)) : "") + ',' + csv_text(m->category) +
                          ',' + (m->priority ? csv_text(std::to_string(*m->priority)) : "") + ',' +
                          csv_text(tags_text(*m)) + ',' + std::to_string(m->breaches) + ',' +
                          one_digit(s.per_week(m->breaches));
        for (const double part : {0.0, 0.25, 0.5, 0.75, 1.0})
            row += ',' + quartile(*m, part);
        out(row + "\r\n");
    }
}

void write_model_mapping(const survey& s, const std::string& master, const output& out)
{
    out("# Models of " + text::printable(master, 100) +
        ", most breaches first: " + with_commas(s.breaches()) + " breaches in " + with_commas(s.day_count()) +
        (s.day_count() == 1 ? " day.\n" : " days.\n") +
        "#\n"
        "# To be filled in: put the least score that is to be forwarded in place of 0.00, or \"always\", or "
        "\"never\". As it is,\n"
        "# everything is forwarded. Delete the line of a model that [forward] is to decide.\n"
        "# Behind each line: breaches a week; the scores below which a quarter, half and three quarters of "
        "them lie.\n"
        "\n[forward]\n"
        "# above_score = 0.4                     # for every model without a line\n"
        "# always_tags = [\"Enhanced Monitoring\"]\n"
        "# never_tags = [\"lower priority\"]\n"
        "\n[models]\n");
    std::unordered_set<std::string> written;
    for (const auto* m : s.models())
    {
        std::string about = one_digit(s.per_week(m->breaches)) + " a week";
        if (!m->scores.cells().empty())
            about += "; " + quartile(*m, 0.25) + ' ' + quartile(*m, 0.5) + ' ' + quartile(*m, 0.75);
        if (!m->category.empty())
            about += "; " + text::printable(m->category, 60);
        if (m->priority)
            about += ", priority " + std::to_string(*m->priority);
        if (!m->tags.empty())
            about += "; " + tags_text(*m);
        about = text::printable(about, 400);
        const auto key = m->name.size() < text_bytes ? rules::exact_model_key(m->name) : std::nullopt;
        if (!key)
            out("# " + name_of(*m) + ": no key can name it  # " + about + "\n");
        else if (!written.insert(rules::model_identity(*key)).second)
            out("# " + name_of(*m) + ": has its line above  # " + about + "\n");
        else
            out(text::quoted(*key) + " = 0.00  # " + about + "\n");
    }
    if (s.left_out() > 0)
        out("# " + with_commas(s.left_out()) +
            " breaches are of further models, beyond those that are told apart.\n");
}

}  // namespace dtbridge::tune
