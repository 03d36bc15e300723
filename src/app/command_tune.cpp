#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <iostream>
#include <memory>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>
#include <dtbridge/tune/report.hpp>
#include <dtbridge/tune/suggestion.hpp>

#include "app/archive_reading.hpp"
#include "app/breach_labels.hpp"
#include "app/commands.hpp"
#include "app/host.hpp"
#include "app/load_config.hpp"
#include "app/options.hpp"
#include "app/policy_file.hpp"
#include "app/standard_output.hpp"
#include "app/terminal.hpp"
#include "app/throttle_gate.hpp"
#include "app/version.hpp"

namespace dtbridge::app
{

namespace
{

/// A file that is opened at once, with the rights of whoever asked for it, and changed when all is ready.
class report_file
{
public:
    explicit report_file(const std::string& name) : name_(name)
    {
        if (name.empty())
            return;
        fd_ = ::open(name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd_ < 0)
            fail("opened");
    }
    ~report_file()
    {
        if (fd_ >= 0)
            ::close(fd_);
    }
    report_file(const report_file&) = delete;
    report_file& operator=(const report_file&) = delete;

    explicit operator bool() const { return fd_ >= 0; }

    void write(std::string_view page)
    {
        struct stat facts = {};
        // A device or a pipe has no length to take away.
        if (::fstat(fd_, &facts) == 0 && S_ISREG(facts.st_mode) && ::ftruncate(fd_, 0) != 0)
            fail("written");
        while (!page.empty())
        {
            const auto n = ::write(fd_, page.data(), page.size());
            if (n < 0 && errno != EINTR)
                fail("written");
            page.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
        }
    }

private:
    [[noreturn]] void fail(const char* what) const
    {
        throw action_error(name_ + " cannot be " + what + ": " + std::strerror(errno));
    }

    std::string name_;
    int fd_ = -1;
};

void check_options(const parsed& said)
{
    const auto refuse_with = [&](const char* with, std::initializer_list<const char*> others) {
        for (const char* other : others)
            if (said.has(with) && said.has(other))
                throw usage_error(std::string("--") + other + " does not go with --" + with);
    };
    refuse_with("suggest", {"against", "json", "html", "show"});
    for (const char* more : {"alerts-per-day", "average"})
        if (said.has(more) && !said.has("suggest"))
            throw usage_error(std::string("--") + more + " goes with --suggest");
    if (said.has("suggest") && !said.has("alerts-per-day"))
        throw usage_error("--suggest needs --alerts-per-day N");
    if (!said.has("show"))
        return;
    if (!said.has("against"))
        throw usage_error("--show goes with --against");
    if (said.get("show") != "added" && said.get("show") != "removed")
        throw usage_error("--show: found '" + text::printable(said.get("show"), 40) +
                          "'; expected added or removed");
}

std::int64_t alerts_per_day(const parsed& said)
{
    const auto given = said.get("alerts-per-day");
    std::int64_t n = 0;
    const auto end = std::from_chars(given.data(), given.data() + given.size(), n);
    if (end.ec != std::errc() || end.ptr != given.data() + given.size() || n < 1 || n > 1000000000)
        throw usage_error("--alerts-per-day: found '" + text::printable(given, 40) +
                          "'; expected a number from 1 to 1000000000");
    return n;
}

/// One breach of --show.
std::string shown_breach(
    const read_breach& r, const breach& b, const tune::verdict& v, const tune::analysis& figures, bool json)
{
    const auto reason = figures.reason(v), against = figures.reason_against(v);
    const auto model = tune::model_name(b);
    if (json)
        return std::string("{\"change\":\"") + (v.added() ? "added" : "removed") +
               "\",\"master\":" + text::quoted(r.master) + ",\"pbid\":" + std::to_string(b.key.pbid) +
               ",\"created\":" + std::to_string(b.key.created) + ",\"model\":" + text::quoted(model) +
               ",\"score\":" + (b.score ? b.score->text() : "null") + ",\"reason\":" + text::quoted(reason) +
               ",\"against_reason\":" + text::quoted(against) + "}\n";
    return rfc3339_ms(b.key.created) + "  " + r.master + "  " + std::to_string(b.key.pbid) + "  " +
           (b.score ? b.score->text() : "-") + "  " + text::printable(model, 200) + "\n    " +
           (v.added() ? "+ " : "- ") + text::printable(reason, 400) + "\n    " + (v.added() ? "- " : "+ ") +
           text::printable(against, 400) + '\n';
}

using shared_policy = std::shared_ptr<const rules::policy>;

/// The throttles of a policy as what stands behind its rules; empty where it has none.
tune::gate gate_of(const shared_policy& p)
{
    if (!p || p->throttles().empty())
        return {};
    // Whoever holds the gate holds the windows: one state, however often it is copied.
    const auto throttles = std::make_shared<throttle_gate>(p);
    return [throttles](const breach& b, const rules::decision& d, const tune::origin& from) {
        return throttles->hold(b, d, from.master, from.archived);
    };
}

/// A key without master or device is counted over all masters, so their order among each other matters.
bool counts_over_masters(const shared_policy& p)
{
    const auto has = [](const rules::throttle& t, std::string_view factor) {
        return std::find(t.by.begin(), t.by.end(), factor) != t.by.end();
    };
    return p && std::any_of(p->throttles().begin(), p->throttles().end(), [&](const rules::throttle& t) {
               return !has(t, "master") && !has(t, "device");
           });
}

tune::origin origin_of(const read_breach& r, const breach& b, const breach_labels& labels)
{
    tune::origin from;
    from.master = r.master;
    from.archived = r.archived.archived;
    from.acknowledged_at = r.acknowledged_at;
    from.known = labels.of(r.master, b);
    return from;
}

int suggest(const parsed& said, reading what, const config::configuration& c)
{
    const auto named = read_policy(said.get("rules"));
    tune::proposal_order order;
    order.alerts_per_day = alerts_per_day(said);
    order.average = said.has("average");
    order.masters = what.masters;
    order.file = named.file();
    const auto base =
        std::make_shared<const rules::policy>(use_policy(tune::proposal_base(named), said.get("rules")));
    order.tag_was_added = base->lines().size() != named.lines().size();
    const bool throttled = !base->throttles().empty();
    if (throttled)
        order.throttles = [base] { return gate_of(base); };
    what.by_arrival = counts_over_masters(base);
    const breach_labels labels(c);
    become_owner(c.service.state_dir);
    tune::suggestion proposal(*base, order);
    int round = 1;
    what.what = throttled ? "reading (1 of at most 5)" : "reading (1 of 2)";
    const auto broken = read_parsed(what, [&](const read_breach& r, const breach& b) {
        proposal.learn(b, origin_of(r, b, labels));
        return true;
    });
    proposal.plan();
    do
    {
        what.what = "weighing (" + std::to_string(++round) + (throttled ? " of at most 5)" : " of 2)");
        read_parsed(what, [&](const read_breach& r, const breach& b) {
            proposal.weigh(b, origin_of(r, b, labels));
            return true;
        });
    } while (proposal.again());
    standard_output out;
    out.write(proposal.mapping());
    out.flush();
    const auto impossible = proposal.impossible_days();
    if (!order.average && !impossible.empty())
        std::cerr << "not possible on " << impossible.size() << (impossible.size() == 1 ? " day" : " days")
                  << "; the head of the file says why\n";
    return broken == 0 ? exit_done : exit_not_right;
}

int compare(const parsed& said, reading what, const config::configuration& c)
{
    const auto policy = std::make_shared<const rules::policy>(read_policy(said.get("rules")));
    const auto other = said.has("against")
                           ? std::make_shared<const rules::policy>(read_policy(said.get("against")))
                           : shared_policy();
    const breach_labels labels(c);
    const bool json = said.has("json");
    const bool show = said.has("show");
    const bool show_added = said.get("show") == "added";
    report_file html(said.get("html"));
    become_owner(c.service.state_dir);

    standard_output out;
    tune::analysis figures(*policy, other.get());
    figures.stand_behind(gate_of(policy), gate_of(other));
    what.by_arrival = counts_over_masters(policy) || counts_over_masters(other);
    what.what = "reading";
    what.with_changes = true;
    what.quiet = show && ::isatty(STDOUT_FILENO) == 1;
    const auto broken = read_parsed(what, [&](const read_breach& r, const breach& b) {
        const auto v = figures.take(b, origin_of(r, b, labels));
        const bool wanted = show && (show_added ? v.added() : v.removed());
        // With a report to be written, a reader who has seen enough does not end it.
        return !wanted || out.write(shown_breach(r, b, v, figures, json)) || html;
    });

    tune::report report;
    report.figures = &figures;
    report.masters = what.masters;
    report.from = what.span.from;
    report.to = what.span.to;
    report.made = now_ms();
    report.version = program_version;
    const auto write = [&](std::string_view text) { out.write(text); };
    if (show)
        std::cerr << figures.sum().added << " added, " << figures.sum().removed << " removed, of "
                  << figures.sum().breaches << " breaches\n";
    else if (json)
        tune::write_json(report, write);
    else
        tune::write_text(report, terminal_columns(), terminal_takes_utf8(), write);
    out.flush();
    if (html)
    {
        std::string page;
        tune::write_html(report, [&](std::string_view text) { page += text; });
        html.write(page);
    }
    return broken == 0 ? exit_done : exit_not_right;
}

}  // namespace

int tune_policy(const arguments& args)
{
    const auto said = parse(args,
                            "tune",
                            {{"rules", "A", "the mapping file that is looked at", true},
                             {"against", "B", "another, to compare with"},
                             {"master", "M", "only this master's archive"},
                             {"from", "T", "created at T or later"},
                             {"to", "T", "created before T"},
                             {"json", "", "everything, as JSON"},
                             {"html", "F", "also a page with plots, into this file"},
                             {"show", "added|removed", "the breaches of the difference instead of figures"},
                             {"suggest", "", "proposes a mapping file out of A"},
                             {"alerts-per-day", "N", "what it has to keep to"},
                             {"average", "", "over all days instead of on each"}});
    if (!said)
        return exit_done;
    check_options(*said);
    reading what;
    what.span = read_time_span(*said, now_ms());
    const auto c = load_config(said->config(), true);
    what.state_dir = c.service.state_dir;
    what.database = c.archive.database;
    what.masters = archives_to_read(c, said->get("master"));
    return said->has("suggest") ? suggest(*said, std::move(what), c) : compare(*said, std::move(what), c);
}

}  // namespace dtbridge::app
