#include "app/connect_text.hpp"

#include <cstdio>
#include <cstdlib>

#include <boost/json/object.hpp>

#include "app/service_request.hpp"

namespace dtbridge::app
{

namespace
{

using boost::json::array;
using boost::json::object;

const object* object_member(const object& o, std::string_view name)
{
    const auto* v = o.if_contains(name);
    return v != nullptr ? v->if_object() : nullptr;
}

const array* array_member(const object& o, std::string_view name)
{
    const auto* v = o.if_contains(name);
    return v != nullptr ? v->if_array() : nullptr;
}

std::string span_words(std::int64_t seconds)
{
    if (seconds < 120)
        return std::to_string(seconds) + " s";
    if (seconds < 7200)
        return std::to_string(seconds / 60) + " min";
    if (seconds < 2 * 86400)
        return std::to_string(seconds / 3600) + " h";
    return std::to_string(seconds / 86400) + " days";
}

std::string dates_of(const object& c)
{
    const auto days = number_member(c, "days_left").value_or(0);
    const auto date = text_member(c, "not_after").substr(0, 10);
    if (days < 0)
        return "expired " + date;
    return "expires " + date + " (" + std::to_string(days) + (days == 1 ? " day" : " days") + ")";
}

/// "siem.example:6514 over tls resolves to 192.0.2.1; connected to 192.0.2.1:6514"; an address that is
/// written as one needs no more words.
void print_way(const object& c, std::ostream& out)
{
    const auto written = text_member(c, "address");
    const auto at = text_member(c, "connected_to");
    const auto proxy = text_member(c, "proxy");
    out << "  " << written;
    if (const auto kind = text_member(c, "transport"); !kind.empty())
        out << " over " << kind;
    if (!proxy.empty())
        out << " through the proxy " << proxy << ", which";
    if (const auto* found = array_member(c, "resolves_to");
        found != nullptr && !found->empty() && (!proxy.empty() || written.find(at) == std::string::npos))
    {
        out << " resolves to ";
        bool first = true;
        for (const auto& a : *found)
        {
            out << (first ? "" : ", ") << std::string_view(a.get_string());
            first = false;
        }
    }
    if (!at.empty() && text_member(c, "transport") != "udp")
        out << (text_member(c, "step") == "done" ? "; connected to " : "; tried ") << at;
    out << '\n';
}

std::string verified_words(const object& tls)
{
    const auto by = text_member(tls, "verified_by");
    if (by == "fingerprint")
        return "pinned by fingerprint_sha256";
    if (by == "ca_file")
        return "verified by ca_file";
    return by == "system" ? "verified by the system's CA certificates" : "not verified";
}

void print_tls(const object& c, std::ostream& out)
{
    const auto* tls = object_member(c, "tls");
    if (tls == nullptr)
        return;
    const bool done = text_member(c, "step") == "done";
    if (const auto version = text_member(*tls, "version"); !version.empty())
        out << "  " << version << ", " << text_member(*tls, "cipher") << '\n';
    const auto* chain = array_member(*tls, "chain");
    if (chain == nullptr || chain->empty())
        return;
    bool leaf = true;
    for (const auto& each : *chain)
    {
        const auto& cert = each.get_object();
        out << (leaf ? "  certificate " : "    issued by ") << text_member(cert, "subject") << ", "
            << dates_of(cert);
        if (leaf && !text_member(cert, "names").empty())
            out << ", for " << text_member(cert, "names");
        if (leaf && done)
            out << ", " << verified_words(*tls);
        out << '\n';
        leaf = false;
    }
    const bool self_signed = flag_member(*tls, "self_signed");
    const auto& last = chain->back().get_object();
    if (text_member(last, "issuer") != text_member(last, "subject"))
        out << "    issued by " << text_member(last, "issuer") << '\n';
    // Where a pin is needed or in use; a certificate that a CA vouches for changes too often to be pinned.
    const auto by = text_member(*tls, "verified_by");
    if (self_signed || !done || by == "nothing" || by == "fingerprint")
        out << (self_signed ? "  self-signed; to pin it: " : "  to pin it: ") << "fingerprint_sha256 = \""
            << text_member(*tls, "fingerprint_sha256") << "\"\n";
}

void print_own_certificate(const object& c, std::ostream& out)
{
    const auto* mine = object_member(c, "client_certificate");
    if (mine == nullptr)
        return;
    out << "  client certificate " << text_member(*mine, "subject") << ", " << dates_of(*mine) << ", from "
        << text_member(*mine, "file") << '\n';
}

void print_sign_in(const object& c, std::ostream& out)
{
    if (!flag_member(c, "ok"))
    {
        if (const auto skew = number_member(c, "skew_seconds"))
            out << "  clock skew " << *skew << " s\n";
        return;
    }
    out << "  signature, date and permission accepted in " << number_member(c, "answer_ms").value_or(0)
        << " ms";
    if (const auto skew = number_member(c, "skew_seconds"))
        out << "; clock skew " << *skew << " s";
    if (const auto age = number_member(c, "newest_breach_age_seconds"))
        out << "; newest breach " << span_words(*age) << " ago (" << text_member(c, "newest_breach") << ")";
    out << '\n';
}

std::string milliseconds_of(const object& c, std::string_view name)
{
    const auto* v = c.if_contains(name);
    char words[32] = "";
    if (v != nullptr && v->is_double())
        std::snprintf(words, sizeof words, "%.1f ms", v->get_double());
    return words;
}

void print_database(const object& c, std::ostream& out)
{
    if (const auto at = text_member(c, "connected_to"); !at.empty())
    {
        out << "  connected to " << at << " in " << milliseconds_of(c, "connect_ms") << ": PostgreSQL "
            << text_member(c, "server_version");
        if (flag_member(c, "socket"))
            out << ", over a socket of this host";
        else if (object_member(c, "tls") == nullptr)
            out << ", not encrypted";
        out << '\n';
    }
    print_tls(c, out);
    if (!milliseconds_of(c, "round_trip_ms").empty())
        out << "  " << (flag_member(c, "standby") ? "a standby, " : "")
            << (flag_member(c, "read_write") ? "read-write" : "read-only") << ", a round trip takes "
            << milliseconds_of(c, "round_trip_ms") << '\n';
    if (!flag_member(c, "ok"))
        return;
    const auto version = number_member(c, "schema_version").value_or(0);
    if (version == 0)
        out << "  there is no schema dtbridge yet; the service may make it\n";
    else if (version < number_member(c, "newest_schema_version").value_or(0))
        out << "  the schema dtbridge is of an earlier version; the service brings it forward\n";
    else
        out << "  the schema dtbridge is there\n";
}

void print_check(const object& c, std::ostream& out)
{
    const bool ok = flag_member(c, "ok");
    out << text_member(c, "kind") << ' ' << text_member(c, "name") << ": " << (ok ? "ok" : "FAILED") << '\n';
    if (const auto problem = text_member(c, "problem"); !problem.empty())
        out << "  " << problem << '\n';
    if (text_member(c, "kind") == "database")
    {
        print_database(c, out);
        return;
    }
    print_way(c, out);
    print_tls(c, out);
    print_own_certificate(c, out);
    if (text_member(c, "kind") == "master")
        print_sign_in(c, out);
    if (const auto verdict = text_member(c, "verdict"); !verdict.empty())
        out << "  " << verdict << '\n';
    if (const auto* notes = array_member(c, "notes"))
    {
        for (const auto& n : *notes)
            out << "  note: " << std::string_view(n.get_string()) << '\n';
    }
}

}  // namespace

void print_checks(const array& checks, std::ostream& out)
{
    for (const auto& c : checks)
        print_check(c.get_object(), out);
    out.flush();
}

bool all_good(const array& checks)
{
    for (const auto& c : checks)
    {
        if (!flag_member(c.get_object(), "ok"))
            return false;
    }
    return true;
}

}  // namespace dtbridge::app
