#include "app/backfill.hpp"

#include <algorithm>

#include <dtbridge/core/time.hpp>

#include "app/service_request.hpp"

namespace dtbridge::app
{

poll::window backfill_window(std::int64_t from, std::int64_t to, std::int64_t now)
{
    poll::window w;
    w.start = std::max<std::int64_t>(0, from);
    w.end = std::min(to - 1, now + backfill_ahead_ms);
    return w;
}

boost::json::object to_json(const poll::backfill_report& r, std::int64_t reached)
{
    boost::json::object o;
    o["shown"] = r.shown;
    o["archived"] = r.archived;
    o["repeated"] = r.repeated;
    o["set_aside"] = r.set_aside;
    if (r.left_from != 0)
        o["left_from"] = r.left_from;
    if (reached != 0)
        o["reached"] = reached;
    return o;
}

poll::backfill_report to_backfill_report(const boost::json::object& o)
{
    poll::backfill_report r;
    r.shown = number_member(o, "shown").value_or(0);
    r.archived = number_member(o, "archived").value_or(0);
    r.repeated = number_member(o, "repeated").value_or(0);
    r.set_aside = number_member(o, "set_aside").value_or(0);
    r.left_from = number_member(o, "left_from").value_or(0);
    return r;
}

std::string backfill_line(const std::string& master, const poll::backfill_report& r)
{
    std::string out = master + ": " + std::to_string(r.shown) + " shown, " + std::to_string(r.archived) +
                      " archived, " + std::to_string(r.repeated) + " archived before";
    if (r.set_aside > 0)
        out += ", " + std::to_string(r.set_aside) + " set aside";
    if (r.left_from != 0)
        out += "\n" + master + ": what was created after " + rfc3339_ms(r.left_from) +
               " is left to polling, which archives and delivers it; --deliver asks for it now";
    return out;
}

std::string backfill_failed(const std::string& master, const std::string& why, const poll::backfill_report& r)
{
    return master + ": " + why + "; " + std::to_string(r.archived) +
           " breaches were archived until then and stay, so the same command goes on from there";
}

}  // namespace dtbridge::app
