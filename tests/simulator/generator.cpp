#include "generator.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <vector>

#include "dates.hpp"

namespace simulator
{

namespace
{

enum class kind { network, dns, file, login, saas, health };

struct model_entry
{
    const char* name;
    const char* category;
    int priority;
    bool compliance;
    kind about;
    const char* tags;        // JSON array
    const char* tactics;     // JSON array
    const char* techniques;  // JSON array
    int weight;              // how often it is seen
    int low, high;           // score in thousandths
    const char* description;
};

constexpr std::array models = {
    model_entry{
        "Compromise::Beaconing To Young Domain",
        "Suspicious",
        4,
        false,
        kind::network,
        R"(["AP: C2 Comms","Enhanced Monitoring"])",
        R"(["command-and-control"])",
        R"(["T1071.001"])",
        6,
        250,
        930,
        R"(A device calls the same recently registered domain at even intervals.\n\nAction: Find the process that makes the calls and see whether the domain is known to the business.)"},
    model_entry{
        "Compromise::Sustained TLS To Rare Host",
        "Critical",
        5,
        false,
        kind::network,
        R"(["","AP: C2 Comms","Enhanced Monitoring"])",
        R"(["command-and-control"])",
        R"(["T1573","T1571"])",
        3,
        420,
        990,
        R"(A device keeps an encrypted session open to a host that nobody else in the network talks to.\n\nAction: Review the certificate, the volume and the owner of the device.)"},
    model_entry{
        "Compromise::Domain Fluxing",
        "Suspicious",
        4,
        false,
        kind::dns,
        R"(["AP: C2 Comms"])",
        R"(["command-and-control"])",
        R"(["T1568.002"])",
        4,
        180,
        860,
        R"(A device asks for many names that do not exist and look machine made.\n\nAction: Look for the first successful answer among them.)"},
    model_entry{
        "Compromise::Watched Endpoint Contact",
        "Critical",
        5,
        false,
        kind::dns,
        R"(["","AP: C2 Comms","Enhanced Monitoring"])",
        R"(["command-and-control"])",
        R"(["T1071"])",
        2,
        350,
        980,
        R"(A device resolved or contacted an endpoint of the watch list.\n\nAction: Confirm the list entry and contain the device if it is current.)"},
    model_entry{
        "Anomalous Connection::Large Upload To New Host",
        "Suspicious",
        4,
        false,
        kind::network,
        R"(["AP: Egress","Enhanced Monitoring"])",
        R"(["exfiltration"])",
        R"(["T1041","T1567.002"])",
        6,
        200,
        900,
        R"(A device sends much more than usual to a host it has not used before.\n\nAction: Ask the owner about the transfer; check what was read shortly before.)"},
    model_entry{
        "Anomalous Connection::Uncommon Port Use",
        "Informational",
        2,
        false,
        kind::network,
        R"([""])",
        R"(["command-and-control"])",
        R"(["T1571"])",
        14,
        20,
        620,
        R"(A device uses a destination port that is unusual for it and its peers.\n\nAction: Compare with recent software changes.)"},
    model_entry{
        "Anomalous Connection::New Administrative Tool Use",
        "Informational",
        3,
        false,
        kind::network,
        R"(["AP: Lateral Movement"])",
        R"(["lateral-movement"])",
        R"(["T1021"])",
        8,
        100,
        740,
        R"(A device started to use remote administration towards hosts that it never managed.\n\nAction: Confirm a change window or an on-call engagement.)"},
    model_entry{
        "Anomalous Connection::Remote Desktop From Outside",
        "Suspicious",
        4,
        false,
        kind::network,
        R"(["AP: Initial Access"])",
        R"(["initial-access"])",
        R"(["T1133"])",
        3,
        300,
        880,
        R"(A desktop session reached an internal host from the internet.\n\nAction: Close the exposure, then look for sessions that succeeded.)"},
    model_entry{
        "Anomalous File::Script From Rare Location",
        "Suspicious",
        4,
        false,
        kind::file,
        R"(["AP: Tooling"])",
        R"(["execution","initial-access"])",
        R"(["T1059","T1105"])",
        6,
        220,
        870,
        R"(A script was fetched from a location that the network seldom visits.\n\nAction: Take the file from the device and examine it.)"},
    model_entry{
        "Anomalous File::Masqueraded Executable",
        "Critical",
        5,
        false,
        kind::file,
        R"(["AP: Tooling","Enhanced Monitoring"])",
        R"(["defense-evasion"])",
        R"(["T1036"])",
        2,
        380,
        960,
        R"(An executable arrived under the name and type of a picture.\n\nAction: Isolate the device; look for the same transfer elsewhere.)"},
    model_entry{
        "Anomalous File::Archive From Rare External Host",
        "Informational",
        1,
        false,
        kind::file,
        R"(["","AP: Tooling"])",
        R"([])",
        R"([])",
        9,
        40,
        590,
        R"(A compressed file came from a host that is rare for this network.\n\nAction: Check the name and the reason of the download.)"},
    model_entry{
        "Device::Network Scan",
        "Suspicious",
        4,
        false,
        kind::network,
        R"(["AP: Internal Recon"])",
        R"(["discovery"])",
        R"(["T1046"])",
        7,
        150,
        850,
        R"(A device tries many ports or many hosts inside the network.\n\nAction: See whether it is a scanner that should carry the matching tag.)"},
    model_entry{
        "Device::New User Agent",
        "Informational",
        0,
        false,
        kind::network,
        R"([])",
        R"([])",
        R"([])",
        18,
        0,
        420,
        R"(A device announces itself with software that it has not used before.\n\nAction: None in most cases; gives context to later events.)"},
    model_entry{
        "Device::Reverse Name Sweep",
        "Suspicious",
        4,
        false,
        kind::dns,
        R"(["AP: Internal Recon"])",
        R"(["discovery"])",
        R"(["T1018"])",
        4,
        180,
        760,
        R"(A device looks up the names of a whole address range.\n\nAction: Identify the program behind the sweep.)"},
    model_entry{
        "Device::Increase Of New Shares",
        "Informational",
        3,
        false,
        kind::file,
        R"(["AP: Internal Recon"])",
        R"(["discovery","collection"])",
        R"(["T1135"])",
        7,
        60,
        640,
        R"(A device opens file shares that are new to it in an unusual number.\n\nAction: Review the shares and the account.)"},
    model_entry{
        "Device::Threat Indicator Match",
        "Critical",
        5,
        false,
        kind::network,
        R"(["AP: C2 Comms","Enhanced Monitoring"])",
        R"(["command-and-control"])",
        R"(["T1071"])",
        2,
        400,
        990,
        R"(Traffic of a device matches a delivered threat indicator.\n\nAction: Check age and source of the indicator and contain the device.)"},
    model_entry{
        "Unusual Activity::Sudden Rise Of Connections",
        "Informational",
        2,
        false,
        kind::network,
        R"(["lower priority"])",
        R"([])",
        R"([])",
        12,
        30,
        560,
        R"(The number of connections of a device is far above its pattern of life.\n\nAction: Compare with the peers of the device.)"},
    model_entry{
        "Unusual Activity::Internal Data Gathering",
        "Suspicious",
        4,
        false,
        kind::network,
        R"(["AP: Egress","lower priority"])",
        R"(["collection"])",
        R"(["T1074"])",
        4,
        200,
        840,
        R"(A device pulls an unusual amount of data from many internal hosts.\n\nAction: Ask the owner; look for an upload that follows.)"},
    model_entry{
        "User::Failed Sign In Burst",
        "Suspicious",
        4,
        false,
        kind::login,
        R"(["AP: Bruteforce"])",
        R"(["credential-access"])",
        R"(["T1110"])",
        6,
        120,
        820,
        R"(Many sign-ins of an account failed within a short time.\n\nAction: Tell a forgotten password from an attack by the sources.)"},
    model_entry{
        "User::New Credential On Client",
        "Informational",
        3,
        false,
        kind::login,
        R"([])",
        R"(["lateral-movement"])",
        R"(["T1078"])",
        10,
        20,
        540,
        R"(An account was used on a client where it has not been seen.\n\nAction: Confirm with the user of the client.)"},
    model_entry{
        "User::Privileged Account Outside Hours",
        "Suspicious",
        4,
        false,
        kind::login,
        R"(["Enhanced Monitoring"])",
        R"(["privilege-escalation"])",
        R"(["T1078.002"])",
        3,
        240,
        880,
        R"(A privileged account is active at a time when it never is.\n\nAction: Confirm the work with its holder.)"},
    model_entry{
        "SaaS::Access::Unusual External Source For Account",
        "Suspicious",
        4,
        false,
        kind::saas,
        R"(["AP: Initial Access","Enhanced Monitoring"])",
        R"(["initial-access"])",
        R"(["T1078.004"])",
        6,
        200,
        900,
        R"(A cloud account signed in from a network and a place that are new to it.\n\nAction: Ask the user over another channel; revoke the session in doubt.)"},
    model_entry{
        "SaaS::Compromise::New Forwarding Rule After Sign In",
        "Critical",
        5,
        false,
        kind::saas,
        R"(["AP: Data Staging","Enhanced Monitoring"])",
        R"(["collection","persistence"])",
        R"(["T1114.003"])",
        3,
        450,
        990,
        R"(A rule that forwards mail was made shortly after an unusual sign-in.\n\nAction: Remove the rule, reset the account, search for mails sent.)"},
    model_entry{
        "SaaS::Resource::Many Files Deleted",
        "Suspicious",
        4,
        false,
        kind::saas,
        R"([])",
        R"(["impact"])",
        R"(["T1485"])",
        4,
        180,
        800,
        R"(A cloud account deleted far more files than usual.\n\nAction: Check the retention copy and the reason.)"},
    model_entry{
        "SaaS::Admin::Mail Permissions Changed",
        "Informational",
        3,
        false,
        kind::saas,
        R"(["lower priority"])",
        R"(["persistence"])",
        R"(["T1098.002"])",
        6,
        50,
        600,
        R"(Access rights to a mailbox were changed by an account that seldom does so.\n\nAction: Compare with open tickets.)"},
    model_entry{
        "Compliance::Remote Management Tool",
        "Informational",
        3,
        true,
        kind::network,
        R"([""])",
        R"(["command-and-control"])",
        R"(["T1219"])",
        9,
        80,
        780,
        R"(A device uses a remote management tool that policy may not allow.\n\nAction: Check the list of agreed tools.)"},
    model_entry{
        "Compliance::File Storage::Upload To Personal Storage",
        "Informational",
        3,
        true,
        kind::network,
        R"([])",
        R"(["exfiltration"])",
        R"(["T1567.002"])",
        8,
        60,
        720,
        R"(A device uploads to a file service for private use.\n\nAction: Remind the user of the policy, or block the service.)"},
    model_entry{
        "Compliance::Old Directory Protocol",
        "Informational",
        2,
        true,
        kind::login,
        R"(["lower priority"])",
        R"([])",
        R"([])",
        8,
        20,
        480,
        R"(A device signs in with a protocol version that policy has retired.\n\nAction: Plan the update of the device.)"},
    model_entry{
        "Infrastructure::Unusual Lookup Load",
        "Informational",
        1,
        false,
        kind::dns,
        R"([])",
        R"([])",
        R"([])",
        8,
        10,
        430,
        R"(A server answers far more lookups than its pattern.\n\nAction: Find the clients that cause it.)"},
    model_entry{
        "System::Sensor Traffic Missing",
        "Informational",
        0,
        false,
        kind::health,
        R"([])",
        R"([])",
        R"([])",
        2,
        100,
        500,
        R"(A probe reports less traffic than in the weeks before.\n\nAction: Check its mirror port and its load.)"},
};

constexpr int total_weight()
{
    int sum = 0;
    for (const auto& m : models)
        sum += m.weight;
    return sum;
}

std::uint64_t mix(std::uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;  // splitmix64
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

class dice
{
public:
    explicit dice(std::uint64_t state) : state_(state) {}
    std::uint64_t below(std::uint64_t n) { return (state_ = mix(state_)) % n; }
    bool one_in(std::uint64_t n) { return below(n) == 0; }

private:
    std::uint64_t state_;
};

void add(std::string& out, std::string_view text)
{
    out += text;
}
void add(std::string& out, std::int64_t n)
{
    char digits[24];
    auto end = std::to_chars(digits, digits + sizeof digits, n).ptr;
    out.append(digits, static_cast<std::size_t>(end - digits));
}
template <class... Parts>
void put(std::string& out, Parts... parts)
{
    (add(out, parts), ...);
}

std::int64_t pid_of(unsigned model)
{
    return 100 + 17 * static_cast<std::int64_t>(model);
}

/// A model object in three pieces, so that only its tags are written per breach.
struct model_text
{
    std::string head, tail, uuid;
};

const std::vector<model_text>& model_texts()
{
    static const std::vector<model_text> all = [] {
        std::vector<model_text> texts;
        for (unsigned i = 0; i < models.size(); ++i)
        {
            const auto& m = models[i];
            auto pid = pid_of(i);
            model_text t;
            // Stable across masters and seeds, as a vendor's own models are.
            auto h = mix(0x5eed + i);
            const char* hex = "0123456789abcdef";
            t.uuid = "80010119-6d7f-0000-0305-";
            for (int n = 0; n < 12; ++n)
                t.uuid += hex[(h >> (4 * n)) & 15];
            put(t.head,
                R"({"name":")",
                m.name,
                R"(","pid":)",
                pid,
                R"(,"phid":)",
                pid * 12 + 7,
                R"(,"uuid":")",
                t.uuid,
                R"(","logic":{"data":[{"cid":)",
                pid * 3,
                R"(,"weight":1},{"cid":)",
                pid * 3 + 1,
                R"(,"weight":1}],"targetScore":1,"type":"weightedComponentList","version":1},"throttle":)",
                i % 3 == 0 ? 3600 : 86400,
                R"(,"sharedEndpoints":false,"actions":{"alert":)",
                m.priority > 0 ? "true" : "false",
                R"(,"antigena":{},"breach":true,"model":true,"setPriority":false,"setTag":)",
                i % 7 == 4 ? "63" : "false",
                R"(,"setType":false},"tags":)");
            put(t.tail,
                R"(,"interval":)",
                i % 2 ? 3600 : 0,
                R"(,"delay":0,"sequenced":false,"active":true,"modified":"2026-02-1)",
                std::int64_t(i % 9),
                R"( 09:3)",
                std::int64_t(i % 10),
                R"(:12","activeTimes":{"devices":{},"tags":{},"type":"exclusions","version":2},"autoUpdatable":true,"autoUpdate":true,"autoSuppress":true,"description":")",
                m.description,
                R"(","behaviour":"decreasing","defeats":)",
                i % 5 == 2
                    ? R"([{"arguments":{"value":"updates.example.com"},"comparator":"does not match","defeatID":1,"filtertype":"Connection hostname"}])"
                    : "[]",
                R"(,"created":{"by":"System"},"edited":{"by":"System"},"version":)",
                std::int64_t(3 + i % 29),
                R"(,"mitre":{"tactics":)",
                m.tactics,
                R"(,"techniques":)",
                m.techniques,
                R"(},"priority":)",
                std::int64_t(m.priority),
                R"(,"category":")",
                m.category,
                R"(","compliance":)",
                m.compliance ? "true" : "false",
                "}");
            texts.push_back(std::move(t));
        }
        return texts;
    }();
    return all;
}

constexpr std::array filler = {"Internal source device type",
                               "Proxied connection",
                               "Connection hostname",
                               "ASN",
                               "Country",
                               "Message",
                               "Unique ports",
                               "Data transfer",
                               "Age of destination",
                               "Application protocol"};

struct named
{
    const char* name;
    const char* label;
};

struct metric_entry
{
    const char* name;
    const char* label;
    int mlid;
};

void filter(std::string& out,
            std::int64_t cfid,
            std::string_view id,
            std::string_view type,
            std::string_view argument,
            std::string_view comparator,
            std::string_view trigger)
{
    put(out,
        R"({"cfid":)",
        cfid,
        R"(,"id":")",
        id,
        R"(","filterType":")",
        type,
        R"(","arguments":)",
        argument,
        R"(,"comparatorType":")",
        comparator,
        R"(","trigger":{"value":")",
        trigger,
        R"("}},)");
}

void ipv4(std::string& out, std::int64_t n, bool peer)
{
    // RFC 5737: 203.0.113.0/24 outside, the other two inside.
    put(out, peer ? "203.0.113." : n % 2 ? "192.0.2." : "198.51.100.", 1 + n % 254);
}

void device(std::string& out, std::int64_t did, kind about, std::int64_t created)
{
    if (about == kind::health)
    {
        add(out, R"({"did":-1})");
        return;
    }
    dice d(mix(static_cast<std::uint64_t>(did) * 77));
    if (about == kind::saas)
    {
        static constexpr std::array services = {"Office365", "GSuite", "Slack", "Zoom"};
        static constexpr std::array people = {
            "amelia", "bruno", "chidi", "dagny", "emre", "fatima", "goran", "hana"};
        std::string user = people[d.below(people.size())];
        put(user, ".", did, "@example.com");
        put(out,
            R"({"did":)",
            did,
            R"(,"sid":-9,"hostname":"SaaS::)",
            services[d.below(services.size())],
            ": ",
            user,
            R"(","firstSeen":)",
            created - 86'400'000 * static_cast<std::int64_t>(40 + d.below(400)),
            R"(,"lastSeen":)",
            created + 60'000,
            R"(,"typename":"saasprovider","typelabel":"SaaS Provider","credentials":[")",
            user,
            R"("]})");
        return;
    }
    static constexpr std::array types = {named{"desktop", "Desktop"},
                                         named{"laptop", "Laptop"},
                                         named{"server", "Server"},
                                         named{"iot", "IoT"},
                                         named{"printer", "Printer"}};
    auto type = types[d.below(3) == 0 ? d.below(types.size()) : d.below(2)];
    auto style = d.below(20);
    auto sid = static_cast<std::int64_t>(1 + d.below(60));
    put(out, R"({"did":)", did);
    if (style == 0)  // known by IPv6 only
    {
        put(out,
            R"(,"ip6":"2001:db8:0:12::)",
            did % 9000 + 1,
            R"(","ips":[{"ip":"2001:db8:0:12::)",
            did % 9000 + 1,
            R"(","timems":)",
            created - created % 3'600'000,
            R"(,"time":")",
            sql_time(created - created % 3'600'000),
            R"(","sid":)",
            sid,
            "}]");
    }
    else
    {
        add(out, R"(,"macaddress":"00:00:5e:00:53:)");
        out += "0123456789abcdef"[(did >> 4) & 15];
        out += "0123456789abcdef"[did & 15];
        add(out, R"(","vendor":"Example Networks","ip":")");
        ipv4(out, did, false);
        add(out, R"(","ips":[{"ip":")");
        ipv4(out, did, false);
        put(out,
            R"(","timems":)",
            created - created % 3'600'000,
            R"(,"time":")",
            sql_time(created - created % 3'600'000),
            R"(","sid":)",
            sid,
            "}]");
    }
    put(out, R"(,"sid":)", style == 1 ? -11 : sid);
    if (style > 2)
        put(out, R"(,"hostname":")", type.name, "-", did, R"(.corp.example.com")");
    put(out,
        R"(,"firstSeen":)",
        created - 86'400'000 * static_cast<std::int64_t>(10 + d.below(600)),
        R"(,"lastSeen":)",
        created + 30'000);
    if (style % 4 == 1)
        add(out, R"(,"os":"Linux","ossource":"TCP")");
    put(out, R"(,"typename":")", type.name, R"(","typelabel":")", type.label, R"(")");
    if (style % 5 == 3)
        add(out,
            R"(,"tags":[{"tid":17,"expiry":0,"thid":17,"name":"Finance","restricted":false,"data":{"auto":false,"color":134,"description":""},"isReferenced":true}])");
    out += '}';
}

void component(std::string& out,
               dice& d,
               const model_entry& m,
               std::uint64_t i,
               int n,
               std::int64_t pid,
               std::int64_t time)
{
    auto cid = pid * 3 + n;
    put(out,
        R"({"time":)",
        time - 1000 * n,
        R"(,"cbid":)",
        static_cast<std::int64_t>(i * 3) + n + 1,
        R"(,"cid":)",
        cid,
        R"(,"chid":)",
        cid + 4000,
        R"(,"size":)",
        std::int64_t(1 + n),
        R"(,"threshold":)",
        std::int64_t(n),
        R"(,"interval":3600,"logic":{"data":{"left":{"left":"A","operator":"AND","right":{"left":"B","operator":"AND","right":"C"}},"operator":"OR","right":{"left":"A","operator":"AND","right":{"left":"D","operator":"AND","right":"E"}}},"version":"v0.1"})");
    auto peer = static_cast<std::int64_t>(d.below(254));
    static constexpr std::array ports = {443, 443, 443, 80, 53, 22, 445, 3389, 8443, 4444};
    auto port = static_cast<std::int64_t>(ports[d.below(ports.size())]);
    std::string address;
    if (d.one_in(15))
        put(address, "2001:db8:99::", peer + 1);
    else
        ipv4(address, peer, true);
    if (m.about == kind::network || m.about == kind::file || m.about == kind::dns || m.about == kind::login)
    {
        put(out, R"(,"ip":")", address, address.find(':') == std::string::npos ? "/32" : "/128", R"(")");
        if (!d.one_in(12))
            put(out, R"(,"port":)", m.about == kind::dns ? 53 : port);
    }
    static constexpr std::array metrics = {metric_entry{"externalconnections", "External Connections", 1},
                                           metric_entry{"dnsrequests", "DNS Requests", 20},
                                           metric_entry{"externaldatatransfer", "External Data Transfer", 11},
                                           metric_entry{"loginattempts", "Sign In Attempts", 43},
                                           metric_entry{"saasactivity", "SaaS Activity", 311},
                                           metric_entry{"systemstatus", "System Status", 256}};
    const auto& [metric, label, mlid] = metrics[static_cast<std::size_t>(m.about)];
    put(out,
        R"(,"metric":{"mlid":)",
        std::int64_t(mlid),
        R"(,"name":")",
        metric,
        R"(","label":")",
        label,
        R"("},"triggeredFilters":[)");
    auto cfid = cid * 40;
    std::string rarity;
    put(rarity, static_cast<std::int64_t>(80 + d.below(21)));
    filter(out,
           cfid,
           "A",
           m.about == kind::saas ? "Uncommon external source" : "Rare external IP",
           R"({"value":80})",
           ">",
           rarity);
    filter(out, cfid + 1, "B", "Direction", R"({"value":"out"})", "is", "out");
    std::string port_text;
    put(port_text, port);
    filter(out, cfid + 2, "C", "Destination port", R"({"value":25})", "!=", port_text);
    if (m.about == kind::login || m.about == kind::saas)
        filter(out,
               cfid + 3,
               "D",
               "Account",
               R"({"value":"^svc-"})",
               "does not match regular expression",
               "amelia@example.com");
    else
        filter(out, cfid + 3, "D", "Destination IP", R"({})", "display", address);
    std::string host;
    put(host, "host", peer, ".rare.example.net");
    filter(out, cfid + 4, "d1", "Connection hostname", R"({})", "display", host);
    auto more = 2 + d.below(16);
    for (std::uint64_t k = 0; k < more; ++k)
    {
        std::string id, value;
        put(id, "d", static_cast<std::int64_t>(k + 2));
        auto type = filler[(k + i) % filler.size()];
        switch ((k + i) % filler.size())
        {
            case 3:
                put(value, "AS64", static_cast<std::int64_t>(500 + d.below(11)), " Example Transit");
                break;
            case 4:
                value = d.one_in(2) ? "NL" : "US";
                break;
            case 5:
                put(value,
                    "seen ",
                    static_cast<std::int64_t>(d.below(90)),
                    " times in the last week; first by ",
                    host);
                break;
            case 7:
                put(value, static_cast<std::int64_t>(d.below(1'000'000'000)));
                break;
            case 1:
                value = "false";
                break;
            default:
                put(value, static_cast<std::int64_t>(d.below(40)));
                break;
        }
        filter(out, cfid + 5 + static_cast<std::int64_t>(k), id, type, R"({})", "display", value);
    }
    out.back() = ']';
    out += '}';
}

}  // namespace

std::string_view generator::uuid(unsigned model)
{
    return model_texts()[model].uuid;
}
std::string_view generator::name(unsigned model)
{
    return models[model].name;
}

traits generator::of(std::uint64_t i) const
{
    dice d(mix(seed_ ^ mix(i)));
    traits t;
    t.pbid = first_pbid_ + static_cast<std::int64_t>(i);
    auto pick = static_cast<int>(d.below(static_cast<std::uint64_t>(total_weight())));
    while ((pick -= models[t.model].weight) >= 0)
        ++t.model;
    const auto& m = models[t.model];
    t.pid = pid_of(t.model);
    t.saas = m.about == kind::saas;
    t.did =
        m.about == kind::health ? -1 : static_cast<std::int64_t>(1 + d.below(600)) + (t.saas ? 10'000 : 0);
    t.score = m.low + static_cast<int>(d.below(static_cast<std::uint64_t>(m.high - m.low + 1)));
    t.lag = m.about == kind::health ? least_lag
            : d.one_in(200)
                ? static_cast<std::int64_t>(1000 * d.below(static_cast<std::uint64_t>(most_lag) / 1000))
                : static_cast<std::int64_t>(5'000 + 1'000 * d.below(36));
    t.acknowledged = d.one_in(40);
    t.suppressed = d.one_in(50);
    return t;
}

void generator::write(std::uint64_t i, std::int64_t created, std::int64_t time, std::string& out) const
{
    auto t = of(i);
    const auto& m = models[t.model];
    const auto& text = model_texts()[t.model];
    dice d(mix(seed_ ^ mix(i) ^ 0xb0d7));
    put(out,
        R"({"creationTime":)",
        created,
        R"(,"commentCount":)",
        d.one_in(12) ? 1 : 0,
        R"(,"pbid":)",
        t.pbid,
        R"(,"time":)",
        time);
    if (t.acknowledged)
        put(out, R"(,"acknowledged":{"time":)", created + 90'000, R"(,"username":"analyst1"})");
    if (t.suppressed)
        add(out, R"(,"suppressed":true)");
    put(out, R"(,"model":{"then":)", text.head, m.tags, text.tail);
    // Users add a tag afterwards: it shows in `now` only (darktrace.md 2.5).
    put(out, R"(,"now":)", text.head, d.one_in(40) ? R"(["lower priority"])" : m.tags, text.tail);
    add(out, R"(},"triggeredComponents":[)");
    auto components = m.about == kind::health ? 1 : 1 + static_cast<int>(d.below(8) / 3);
    for (int n = 0; n < components; ++n)
    {
        component(out, d, m, i, n, t.pid, time);
        out += n + 1 == components ? ']' : ',';
    }
    // 0 and 1 appear as whole numbers, as they do on appliances.
    add(out, R"(,"score":)");
    if (t.score % 1000 == 0)
        add(out, std::int64_t(t.score / 1000));
    else
    {
        std::string digits = std::to_string(1000 + t.score).substr(1);
        while (digits.back() == '0')
            digits.pop_back();
        put(out, "0.", digits);
    }
    put(out, R"(,"percentscore":)", std::int64_t((t.score + 5) / 10), R"(,"device":)");
    device(out, t.did, m.about, created);
    if (i % 2 == 0 && std::string_view(m.techniques) != "[]")
    {
        std::string_view ids = m.techniques;
        add(out, R"(,"mitreTechniques":[)");
        for (std::size_t at = 0; (at = ids.find('T', at)) != std::string_view::npos;)
        {
            auto end = ids.find('"', at);
            put(out,
                R"({"technique":"Technique )",
                ids.substr(at, end - at),
                R"(","techniqueID":")",
                ids.substr(at, end - at),
                R"("},)");
            at = end;
        }
        out.back() = ']';
    }
    out += '}';
}

}  // namespace simulator
