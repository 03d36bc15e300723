#include <dtbridge/tune/suggestion.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include <dtbridge/core/text.hpp>
#include <dtbridge/rules/write.hpp>

#include "tune/numbers.hpp"

namespace dtbridge::tune
{

namespace
{

using is = rules::outlined_line::kind;

constexpr std::int64_t usual_priority = 3;  // where the model has none
constexpr std::size_t most_named = 20;
constexpr std::size_t tried_at_once = 4;  // each with windows of its own: some 10 MiB
constexpr std::string_view default_tag = "Enhanced Monitoring";

bool has_always_tags(const rules::policy& p)
{
    const rules::outline outlined(p);
    const auto& lines = outlined.lines();
    return std::any_of(lines.begin(), lines.end(), [](const auto& l) { return l.what == is::always_tags; });
}

std::string days_words(std::size_t n)
{
    return with_commas(static_cast<std::int64_t>(n)) + (n == 1 ? " day" : " days");
}

}  // namespace

rules::loaded proposal_base(const rules::policy& base)
{
    rules::rewrite changed;
    if (!has_always_tags(base))
        changed.always_tags.emplace_back(default_tag);
    return rules::load_text(rules::write_mapping(base, changed), "proposal.toml");
}

std::int64_t suggestion::model::weight() const
{
    return 1 + std::clamp<std::int64_t>(priority.value_or(usual_priority), 0, 5);
}

suggestion::suggestion(const rules::policy& base, proposal_order order)
    : base_(&base), outline_(base), order_(std::move(order))
{
    if (throttled())
        as_it_is_ = order_.throttles();
}

bool suggestion::is_open(const breach& b, const rules::decision& d) const
{
    const auto what = outline_.lines()[d.line].what;
    return b.score && (what == is::model || what == is::score || what == is::everything_else) &&
           !(what == is::model && !outline_.lines()[d.line].threshold);
}

suggestion::model* suggestion::find_model(const breach& b, bool make)
{
    const auto named_by = outline_.model_line(b);
    auto group = model_group(outline_, b, named_by);
    const auto at = index_.find(group);
    if (at != index_.end())
    {
        auto& known = models_[at->second];
        known.named_by = make ? named_by : known.named_by;
        return &known;
    }
    if (!make)
        return nullptr;
    if (models_.size() >= order_.bounds.models)
    {
        folded_ = true;
        return nullptr;
    }
    index_.emplace(std::move(group), models_.size());
    auto& m = models_.emplace_back();
    m.named_by = named_by;
    const bool by_id = named_by && outline_.lines()[*named_by].by_id;
    // A name that figures cut short is not the model's whole name, so it makes no key.
    const auto whole = model_path(string_member(b.then, "name"));
    m.name = model_name(b);
    if (by_id)
        m.key = "";
    else if (whole == m.name)
        m.key = rules::exact_model_key(m.name);
    m.closed = !m.key;
    return &m;
}

void suggestion::learn(const breach& b, const origin& from)
{
    const auto d = base_->decide(b, from.known);
    ++breaches_;
    const bool leaves = d.forward && !(as_it_is_ && as_it_is_(b, d, from));
    if (const auto day = day_of(b.key);
        day && (before_.size() < order_.bounds.days || before_.contains(*day)))
        before_[*day] += leaves ? 1 : 0;
    auto* m = find_model(b, true);
    if (m == nullptr)
        return;
    std::int64_t priority = 0;
    m->priority = b.then.find("priority").integer(priority) ? std::optional(priority) : std::nullopt;
    const auto what = outline_.lines()[d.line].what;
    // A threshold would take the place of these lines, and let through what they hold back.
    if (what == is::categories || what == is::min_priority)
    {
        m->closed = true;
        m->closed_by = d.line;
    }
    if (is_open(b, d))
    {
        m->open.add(hundredth(*b.score), d.forward);
        m->forwarded += d.forward ? 1 : 0;
    }
    else
    {
        m->kept += d.forward ? 1 : 0;
        kept_ += d.forward ? 1 : 0;
    }
}

void suggestion::plan()
{
    day_count_ = before_.empty() ? 0 : std::int64_t{before_.rbegin()->first} - before_.begin()->first + 1;
    std::int64_t sum = 0, most = 0;
    for (const auto& [day, n] : before_)
    {
        sum += n;
        most = std::max<std::int64_t>(most, n);
    }
    lowers_ = order_.average ? sum <= order_.alerts_per_day * day_count_ : most <= order_.alerts_per_day;

    const double days = static_cast<double>(std::max<std::int64_t>(day_count_, 1));
    const double least = 1 / (6 * days);
    double highest = least;
    for (const auto& m : models_)
        highest =
            std::max(highest, static_cast<double>(m.open.all()) / (static_cast<double>(m.weight()) * days));
    const double ratio = std::pow(highest / least, 1.0 / (steps - 3));
    rates_[0] = 0;
    for (std::size_t i = 1; i + 1 < steps; ++i)
        rates_[i] = least * std::pow(ratio, static_cast<double>(i - 1));
    rates_[steps - 1] = std::numeric_limits<double>::infinity();
    as_it_is_ = {};
    if (throttled())
        try_between();
}

/// Spreads the next trials over the steps that are still open.
void suggestion::try_between()
{
    trials_.clear();
    // What the strictest step gives tells which days are possible at all.
    auto from = tried_.empty() ? fitting_ : fitting_ + 1;
    const auto left = too_open_ - from;
    const auto count = std::min(left, tried_at_once);
    for (std::size_t i = 0; i < count; ++i)
    {
        trial t;
        t.step = tried_.empty() ? from + i * left / count : from + (i + 1) * left / (count + 1);
        t.throttles = order_.throttles();
        trials_.push_back(std::move(t));
    }
}

bool suggestion::again()
{
    if (!throttled())
        return false;
    for (auto& t : trials_)
        tried_[t.step] = std::move(t.alerts);
    // Behind throttles more through the rules may, rarely, be less in the end: the first step that is too
    // open ends the search, and what is taken was tried.
    for (const auto& t : trials_)
    {
        if (!fits(t.step, order_.average))
        {
            too_open_ = std::max<std::size_t>(t.step, fitting_ + 1);
            break;
        }
        fitting_ = t.step;
    }
    trials_.clear();
    if (too_open_ - fitting_ <= 1)
        return false;
    try_between();
    return true;
}

std::int64_t suggestion::allowance(const model& m, std::size_t step) const
{
    const double n = rates_[step] * static_cast<double>(m.weight()) *
                     static_cast<double>(std::max<std::int64_t>(day_count_, 1));
    constexpr double all = 9e15;
    return static_cast<std::int64_t>(std::min(n + 1e-9, all));
}

suggestion::choice suggestion::at(const model& m, std::size_t step) const
{
    choice c;
    if (m.closed || m.open.cells().empty())
        return c;
    const auto allowed = allowance(m, step);
    if (!lowers_ && m.forwarded <= allowed)
        return c;
    // The least hundredth that lets no more than that pass.
    std::int64_t passing = 0;
    const auto& cells = m.open.cells();
    // What was never seen so high stays an alert, even of a model that is allowed none.
    c.hundredth = std::min(cells.back().hundredth + 1, top_hundredth);
    for (auto cell = cells.rbegin(); cell != cells.rend(); ++cell)
    {
        passing += cell->all;
        if (passing > allowed)
            break;
        const auto below = std::next(cell);
        c.hundredth = below == cells.rend() ? 0 : std::min(below->hundredth + 1, top_hundredth);
    }
    const auto through = m.open.at_least(c.hundredth);
    // Where 1.00 is not high enough nothing is, and where the policy asks for more it stays.
    c.as_it_is = lowers_ ? through <= m.forwarded || through > allowed : through >= m.forwarded;
    return c;
}

bool suggestion::passes(const choice& c, int hundredth, bool forwarded) const
{
    return c.as_it_is ? forwarded : hundredth >= c.hundredth;
}

void suggestion::weigh(const breach& b, const origin& from)
{
    auto date = day_of(b.key);
    if (date && !before_.contains(*date))
        date.reset();
    if (!date && !throttled())
        return;
    const auto d = base_->decide(b, from.known);
    const auto* m = find_model(b, false);
    const bool fixed = m == nullptr || m->closed || !is_open(b, d);
    const auto h = fixed ? 0 : hundredth(*b.score);
    const auto passes_at = [&](std::size_t step) {
        return fixed ? d.forward : passes(at(*m, step), h, d.forward);
    };
    if (throttled())
    {
        for (auto& t : trials_)
            if (passes_at(t.step) && !t.throttles(b, d, from) && date)
                ++t.alerts[*date];
        return;
    }
    auto& begins = days_[*date];
    std::size_t low = 0, high = steps;
    while (low < high)
    {
        const auto middle = (low + high) / 2;
        if (passes_at(middle))
            high = middle;
        else
            low = middle + 1;
    }
    if (low < steps)
        ++begins[low];
}

std::int64_t suggestion::alerts_on(day_number day, std::size_t step) const
{
    if (throttled())
    {
        const auto at_step = tried_.find(step);
        if (at_step == tried_.end())
            return 0;
        const auto n = at_step->second.find(day);
        return n == at_step->second.end() ? 0 : std::int64_t{n->second};
    }
    const auto begins = days_.find(day);
    std::int64_t sum = 0;
    for (std::size_t i = 0; begins != days_.end() && i <= step; ++i)
        sum += begins->second[i];
    return sum;
}

std::vector<day_number> suggestion::impossible_days() const
{
    std::vector<day_number> out;
    for (const auto& [date, unused] : before_)
        if (alerts_on(date, 0) > order_.alerts_per_day)
            out.push_back(date);
    return out;
}

bool suggestion::fits(std::size_t step, bool average) const
{
    std::int64_t sum = 0;
    std::size_t possible_days = 0;
    for (const auto& [date, unused] : before_)
    {
        const auto n = alerts_on(date, step);
        sum += n;
        const bool possible = alerts_on(date, 0) <= order_.alerts_per_day;
        possible_days += possible ? 1 : 0;
        if (!average && possible && n > order_.alerts_per_day)
            return false;
    }
    // A few days that nothing helps do not decide; where most are so, only the strictest is honest.
    return average ? sum <= order_.alerts_per_day * day_count_ : 2 * possible_days > before_.size();
}

std::size_t suggestion::chosen_step(bool average) const
{
    if (throttled())
        return fitting_;
    // Totals only grow with the step.
    std::size_t best = 0;
    for (std::size_t step = 0; step < steps && fits(step, average); ++step)
        best = step;
    return best;
}

double suggestion::per_day(std::int64_t n) const
{
    return static_cast<double>(n) / static_cast<double>(std::max<std::int64_t>(day_count_, 1));
}

std::string suggestion::reason(const model& m, const choice& c) const
{
    std::string before = "no threshold";
    const auto& lines = outline_.lines();
    if (m.named_by && lines[*m.named_by].threshold)
        before = threshold_text(lines[*m.named_by]);
    else
        for (const auto& line : lines)
            if (line.what == is::score)
                before = threshold_text(line) + " of [forward]";
    const auto now = m.open.at_least(c.hundredth);
    std::string s = "was " + before + "; " + rate(per_day(m.forwarded)) + " -> " + rate(per_day(now)) +
                    " a day of " + rate(per_day(m.open.all()));
    if (m.priority)
        s += ", priority " + std::to_string(*m.priority);
    if (m.kept > 0)
        s += "; " + rate(per_day(m.kept)) + " a day more are kept whatever the score";
    return s;
}

suggestion::day_figures suggestion::sums(std::optional<std::size_t> step) const
{
    day_figures f;
    for (const auto& [date, before] : before_)
    {
        const auto n = step ? alerts_on(date, *step) : std::int64_t{before};
        f.all += n;
        if (n <= f.most)
            continue;
        f.most = n;
        f.on = date;
    }
    return f;
}

std::string suggestion::words(const day_figures& f) const
{
    return rate(per_day(f.all)) + " alerts a day" +
           (f.most == 0 ? "" : ", at most " + with_commas(f.most) + " (" + day_text(f.on) + ")");
}

std::vector<std::string> suggestion::heading(std::size_t step) const
{
    const auto asked = with_commas(order_.alerts_per_day);
    std::vector<std::string> lines;
    lines.push_back("Proposed by `dtbridge tune --suggest --alerts-per-day " +
                    std::to_string(order_.alerts_per_day) + (order_.average ? " --average" : "") +
                    "` out of " + order_.file + ".");
    lines.push_back("Read: " + with_commas(breaches_) + (breaches_ == 1 ? " breach" : " breaches") + " of " +
                    joined(order_.masters) +
                    (before_.empty() ? ""
                                     : ", " + day_text(before_.begin()->first) + " to " +
                                           day_text(before_.rbegin()->first) + ", " +
                                           days_words(static_cast<std::size_t>(day_count_)) + " (UTC)") +
                    ".");
    const auto now = sums(step);
    const auto before = sums({});
    lines.push_back("Before:         " + words(before) + ".");
    lines.push_back("With this file: " + words(now) + ".");
    lines.push_back("Asked for:      " + asked + (order_.average ? " a day on average." : " on any day."));
    if (!order_.average && !throttled())
        if (const auto other = sums(chosen_step(true)); other.all > now.all)
            lines.push_back("The busiest days decide. With --average it would be " + words(other) + ".");
    lines.push_back("");
    lines.push_back("What a tag, an \"always\" or a device forwards is kept whatever its score: " +
                    rate(per_day(kept_)) + " a day of these.");
    if (order_.tag_was_added)
        lines.push_back(
            order_.file +
            " has no always_tags; \"Enhanced Monitoring\" was added, so that no tagged breach is lost.");
    if (lowers_)
        lines.push_back(
            "The policy gave less than is asked for: thresholds are lowered, those of the quiet and "
            "important models most.");
    const auto impossible = impossible_days();
    const auto average_missed = order_.average && now.all > order_.alerts_per_day * day_count_;
    if (average_missed)
        lines.push_back("NOT POSSIBLE: no threshold up to 1.00 brings the average down to " + asked +
                        ": what is kept is too much by itself.");
    else if (!order_.average && !impossible.empty())
    {
        std::string s = "NOT POSSIBLE on " + days_words(impossible.size()) + " of " +
                        with_commas(day_count_) + ": what is kept is more than " + asked + " by itself (";
        for (std::size_t i = 0; i < impossible.size() && i < 8; ++i)
            s += (i == 0 ? "" : ", ") + day_text(impossible[i]) + ' ' +
                 with_commas(alerts_on(impossible[i], 0));
        lines.push_back(s + (impossible.size() > 8 ? ", ...)." : ")."));
        if (2 * impossible.size() >= before_.size())
            lines.push_back(
                "Every threshold below is as high as it can be; look at always_tags and at the lines that "
                "say \"always\".");
    }
    if (throttled())
        lines.push_back(
            "The throttles of the policy are kept, and alerts a day are what leaves behind them; the rates "
            "of "
            "single lines below are those before throttles.");
    return lines;
}

std::vector<std::string> suggestion::closing() const
{
    std::vector<std::string> lines;
    std::size_t shown = 0, more = 0;
    for (const auto& m : models_)
    {
        if (!m.closed)
            continue;
        if (++shown > most_named)
        {
            ++more;
            continue;
        }
        lines.push_back("Left as it is: " + text::printable(m.name.empty() ? "(no name)" : m.name, 120) +
                        (m.closed_by ? ", which `" + outline_.lines()[*m.closed_by].text +
                                           "` decides; a threshold would take its place."
                                     : ", whose name cannot be written as a key."));
    }
    if (more > 0)
        lines.push_back("Left as they are: " + with_commas(static_cast<std::int64_t>(more)) +
                        " more models of these kinds.");
    if (folded_)
        lines.push_back("Left as they are: models beyond the " +
                        with_commas(static_cast<std::int64_t>(order_.bounds.models)) +
                        " that are told apart.");
    return lines;
}

std::string suggestion::mapping() const
{
    const auto step = chosen_step(order_.average);
    struct change
    {
        const model* of;
        choice what;
    };
    std::vector<change> changes;
    for (const auto& m : models_)
        if (const auto c = at(m, step); !c.as_it_is)
            changes.push_back({&m, c});
    std::stable_sort(changes.begin(), changes.end(), [](const change& a, const change& b) {
        const auto gain = [](const change& c) {
            return std::abs(c.of->forwarded - c.of->open.at_least(c.what.hundredth));
        };
        return gain(a) > gain(b);
    });
    rules::rewrite out;
    out.heading = heading(step);
    for (const auto& c : changes)
        out.models.push_back(
            {*c.of->key, score_text(c.what.hundredth), reason(*c.of, c.what), c.of->named_by});
    out.closing = closing();
    return rules::write_mapping(*base_, out);
}

}  // namespace dtbridge::tune
