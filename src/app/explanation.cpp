#include "app/explanation.hpp"

#include <algorithm>

#include <boost/json/array.hpp>

#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>
#include <dtbridge/format/formatter.hpp>

#include "app/breach_labels.hpp"
#include "app/load_config.hpp"
#include "app/service_request.hpp"

namespace dtbridge::app
{

namespace
{

boost::json::value time_or_null(std::int64_t ms)
{
    if (ms == 0)
        return nullptr;
    return boost::json::value(rfc3339_ms(ms));
}

/// What is worked out for one destination.
struct verdict
{
    std::string outcome;
    std::string reason;
    std::int64_t at = 0;     // ms
    std::string decided_by;  // a policy's file and hash
};

class explainer
{
public:
    explainer(const explained_breach& b, const explanation_sources& from) : b_(b), from_(from)
    {
        readable_ = !b.body.empty() && read_.read(b.body).has_value();
        for (const auto& m : from.config->masters)
            if (m.name == from.master)
                master_ = to_master_info(m);
        if (readable_)
            known_ = rules::known_of(read_, &master_.labels, inventory_of(*from.config, from.master).get());
    }

    boost::json::object run()
    {
        const auto& h = b_.history;
        boost::json::object o;
        o["pbid"] = h.key.pbid;
        o["created"] = time_or_null(h.key.created);
        o["seq"] = h.seq;
        o["dropped"] = h.dropped;
        o["archived"] = time_or_null(h.archived);
        o["late"] = h.late;
        o["archive_only"] = h.archive_only;
        o["acknowledged"] = h.acknowledged;
        o["comment_count"] = h.comment_count;
        if (readable_)
        {
            o["model"] = model_path(string_member(read_.then, "name"));
            o["score"] = read_.score ? boost::json::value(read_.score->text()) : boost::json::value(nullptr);
            o["url"] = format::breach_url(read_, master_);
        }
        boost::json::array changes;
        for (const auto& c : b_.changes)
        {
            boost::json::object change;
            change["at"] = time_or_null(c.at);
            change["acknowledged"] = c.acknowledged;
            change["comment_count"] = c.comment_count;
            changes.push_back(std::move(change));
        }
        o["changes"] = std::move(changes);
        boost::json::array destinations;
        for (const auto& d : from_.config->destinations)
            destinations.push_back(to_json(d.options.name, of(&d, fate_of(d.options.name))));
        // Cursors whose destination is no longer configured still say what it got.
        for (const auto& f : h.fates)
            if (destination(f.destination) == nullptr)
                destinations.push_back(to_json(f.destination, of(nullptr, &f)));
        o["destinations"] = std::move(destinations);
        return o;
    }

private:
    static boost::json::object to_json(const std::string& name, verdict v)
    {
        boost::json::object o;
        o["name"] = name;
        o["outcome"] = v.outcome;
        o["reason"] = text::to_valid_utf8(v.reason);
        o["at"] = time_or_null(v.at);
        if (!v.decided_by.empty())
            o["policy"] = v.decided_by;
        return o;
    }

    const config::destination* destination(const std::string& name) const
    {
        for (const auto& d : from_.config->destinations)
            if (d.options.name == name)
                return &d;
        return nullptr;
    }

    const breach_history::fate* fate_of(const std::string& name) const
    {
        for (const auto& f : b_.history.fates)
            if (f.destination == name)
                return &f;
        return nullptr;
    }

    /// d: null where the destination is no longer configured. f: null where it has no cursor.
    verdict of(const config::destination* d, const breach_history::fate* f)
    {
        if (b_.history.archive_only)
            return {"archive_only", "archived by a back-fill, which forwards nothing", 0, {}};
        const bool served =
            d != nullptr && std::find(d->options.masters.begin(), d->options.masters.end(), from_.master) !=
                                d->options.masters.end();
        if (f != nullptr && f->lost_at != 0)
            return {"lost",
                    "retention dropped it before it was delivered, as the archive was full or hold was over",
                    f->lost_at,
                    {}};
        if (f != nullptr && f->withheld)
            return withheld(*f);
        if (f != nullptr && f->batch)
            return decided(d, *f->batch);
        if (d != nullptr && !served)
            return {"not_served", "this destination gets no breaches of master " + from_.master, 0, {}};
        if (b_.history.dropped)
            return {"unknown", "retention dropped the breach and what was noted of it", 0, {}};
        if (f == nullptr || f->cursor < b_.history.seq)
            return waiting(d, f);
        return {"unknown", "it was passed by, but no batch is noted that holds it", 0, {}};
    }

    static verdict withheld(const breach_history::fate& f)
    {
        const bool throttled = f.withheld->why == withheld_breach::cause::throttled;
        return {throttled ? "throttled" : "undeliverable",
                f.withheld->reason,
                f.batch ? f.batch->at : 0,
                f.batch ? named(*f.batch) : std::string()};
    }

    static std::string named(const confirmed_record& r)
    {
        if (r.batch.policy_hash.empty())
            return {};
        return (r.policy_name.empty() ? "policy" : r.policy_name) + " (SHA-256 " +
               r.batch.policy_hash.substr(0, 12) + "...)";
    }

    /// The time from which on a destination gets breaches, by the configuration of today.
    std::optional<std::int64_t> cutoff(const config::destination& d) const
    {
        if (!d.options.start)
            return {};
        const auto ran = from_.first_ran ? from_.first_ran(d.options.name) : std::nullopt;
        if (!ran)
            return {};
        return *ran - d.options.start->count();
    }

    bool is_before_start(const config::destination& d) const
    {
        const auto from = cutoff(d);
        return from && b_.history.key.created_or(b_.history.archived) < *from;
    }

    /// How many breaches of a batch were decided; `start` passed over the others of its span. One that is
    /// marked counts as held back beside what became of it.
    static std::int64_t decided_count(const config::destination* d, const confirmed_batch& batch)
    {
        const bool marks = d != nullptr && d->options.format.mark_held_back;
        return batch.sent + batch.undeliverable + batch.throttled + (marks ? 0 : batch.held_back);
    }

    verdict decided(const config::destination* d, const confirmed_record& r)
    {
        const auto& batch = r.batch;
        const bool nothing =
            batch.sent == 0 && batch.held_back == 0 && batch.undeliverable == 0 && batch.throttled == 0;
        // `start` may be another one by now: a batch without gaps tells that it passed over nothing.
        const bool all = decided_count(d, batch) > batch.last_seq - batch.first_seq;
        if (nothing || (!all && d != nullptr && is_before_start(*d)))
            return {"passed_over",
                    d != nullptr && cutoff(*d)
                        ? "created before " + rfc3339_ms(*cutoff(*d)) + ", where `start` lets it begin"
                        : "created before `start` lets the destination begin",
                    r.at,
                    {}};
        if (!readable_)
            return {"unknown",
                    "it was decided, but retention dropped the breach, so the reason cannot be worked out",
                    r.at,
                    named(r)};
        rules::policy policy;  // no rules: forwards everything
        if (!batch.policy_hash.empty())
        {
            const auto text = from_.policy_text ? from_.policy_text(batch.policy_hash) : std::nullopt;
            const auto name = r.policy_name.empty() ? std::string("policy") : r.policy_name;
            auto loaded = text ? rules::load_text(*text, name) : rules::loaded{};
            if (!text || !loaded.ok)
                return {"unknown",
                        text ? "the policy it was decided by can no longer be read"
                             : "the text of the policy it was decided by is not kept any more",
                        r.at,
                        named(r)};
            policy = std::move(loaded.value);
        }
        const auto said = policy.decide(read_, known_);
        verdict v{said.forward ? "forwarded" : "held_back", said.reason, r.at, named(r)};
        if (!said.forward && d != nullptr && d->options.format.mark_held_back)
            v.outcome = "context";
        // Labels of an inventory are not kept: where they decided, today's may say something else.
        if (said.forward && batch.sent == 0)
            v = {
                "unknown",
                "the policy would forward it (" + said.reason +
                    "), but nothing was sent with its batch; an inventory's labels may have been others then",
                r.at,
                named(r)};
        return v;
    }

    verdict waiting(const config::destination* d, const breach_history::fate* f)
    {
        verdict v{"waiting", "not decided yet", 0, {}};
        if (f != nullptr)
            v.reason += ": the cursor is at " + std::to_string(f->cursor) + " and this is " +
                        std::to_string(b_.history.seq);
        if (d == nullptr)
            v.reason += "; the destination is no longer configured";
        else if (is_before_start(*d))
            v.reason +=
                "; it will be passed over, as it was created before `start` lets the destination begin";
        else if (readable_)
        {
            const auto said = d->policy->decide(read_, known_);
            v.reason += std::string("; by the policy in force it will be ") +
                        (said.forward ? "forwarded" : "held back") + ": " + said.reason;
            if (said.forward && !said.always && !d->policy->throttles().empty())
                v.reason += ", unless a throttle holds it";
        }
        return v;
    }

    const explained_breach& b_;
    const explanation_sources& from_;
    breach read_;
    bool readable_ = false;
    format::master_info master_;
    rules::known_labels known_;
};

std::string words_of_outcome(const std::string& outcome, const std::string& at)
{
    struct pair
    {
        std::string_view outcome;
        const char* words;
    };
    static constexpr pair known[] = {{"forwarded", "forwarded, confirmed"},
                                     {"context", "held back, sent as context, confirmed"},
                                     {"held_back", "held back"},
                                     {"throttled", "throttled"},
                                     {"undeliverable", "undeliverable"},
                                     {"lost", "lost"},
                                     {"passed_over", "passed over"},
                                     {"archive_only", "not forwarded"},
                                     {"waiting", "waiting"},
                                     {"not_served", "not served"}};
    std::string out = "unknown";
    for (const auto& k : known)
        if (k.outcome == outcome)
            out = k.words;
    return at.empty() ? out : out + ' ' + at;
}

}  // namespace

boost::json::object explain_breach(const explained_breach& b, const explanation_sources& from)
{
    return explainer(b, from).run();
}

std::string explanation_text(const boost::json::object& e)
{
    const auto number = [&e](std::string_view name) {
        return std::to_string(number_member(e, name).value_or(0));
    };
    std::string out = "pbid " + number("pbid") + ", created ";
    const auto created = text_member(e, "created");
    out += created.empty() ? "at an unknown time" : created;
    if (const auto model = text_member(e, "model"); !model.empty())
        out += ": " + text::printable(model, 300);
    if (const auto score = text_member(e, "score"); !score.empty())
        out += ", score " + score;
    out += "\n  archived ";
    if (flag_member(e, "dropped"))
        out += "as " + number("seq") + "; retention has dropped it since";
    else
        out += text_member(e, "archived") + " as " + number("seq");
    if (flag_member(e, "late"))
        out += ", late: polling had not seen it";
    if (flag_member(e, "archive_only"))
        out += ", by a back-fill";
    out += '\n';
    if (const auto url = text_member(e, "url"); !url.empty())
        out += "  " + text::printable(url, 500) + '\n';
    if (const auto* changes = e.if_contains("changes"); changes != nullptr && changes->is_array())
        for (const auto& each : changes->get_array())
        {
            const auto& c = each.get_object();
            out += "  " + text_member(c, "at") + ": " +
                   (flag_member(c, "acknowledged") ? "acknowledged" : "not acknowledged") + ", comments " +
                   std::to_string(number_member(c, "comment_count").value_or(0)) + '\n';
        }
    if (const auto* all = e.if_contains("destinations"); all != nullptr && all->is_array())
    {
        std::size_t width = 0;
        for (const auto& d : all->get_array())
            width = std::max(width, text_member(d.get_object(), "name").size());
        for (const auto& each : all->get_array())
        {
            const auto& d = each.get_object();
            const auto name = text_member(d, "name");
            out += "  " + name + std::string(width - name.size() + 2, ' ') +
                   words_of_outcome(text_member(d, "outcome"), text_member(d, "at")) + ": " +
                   text::printable(text_member(d, "reason"), 1000);
            if (const auto policy = text_member(d, "policy"); !policy.empty())
                out += "\n  " + std::string(width + 2, ' ') + "by " + text::printable(policy, 300);
            out += '\n';
        }
    }
    return out;
}

}  // namespace dtbridge::app
