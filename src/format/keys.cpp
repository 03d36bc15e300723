#include "format/keys.hpp"

#include <algorithm>
#include <array>

namespace dtbridge::format
{
namespace
{

struct entry
{
    std::string_view key;
    std::uint32_t max_bytes;
};

// Dictionary strings with their lengths (formats.md 2.3).
constexpr entry cef_strings[] = {
    {"deviceExternalId", 255},
    {"externalId", 40},
    {"dvchost", 100},
    {"dtz", 255},
    {"deviceFacility", 1023},
    {"deviceInboundInterface", 128},
    {"deviceOutboundInterface", 128},
    {"shost", 1023},
    {"suser", 1023},
    {"suid", 1023},
    {"spriv", 1023},
    {"sntdom", 255},
    {"sourceDnsDomain", 255},
    {"sourceServiceName", 1023},
    {"dhost", 1023},
    {"duser", 1023},
    {"duid", 1023},
    {"dpriv", 1023},
    {"dntdom", 255},
    {"destinationDnsDomain", 255},
    {"destinationServiceName", 1023},
    {"proto", 31},
    {"app", 31},
    {"cat", 1023},
    {"act", 63},
    {"outcome", 63},
    {"reason", 1023},
    {"msg", 1023},
    {"request", 1023},
    {"requestClientApplication", 1023},
    {"requestContext", 2048},
    {"requestCookies", 1023},
    {"requestMethod", 1023},
    {"fname", 1023},
    {"filePath", 1023},
    {"fileType", 1023},
    {"fileId", 1023},
    {"filePermission", 1023},
    {"fileHash", 255},
    {"sproc", 1023},
    {"dproc", 1023},
    {"deviceProcessName", 1023},
};

constexpr entry cef1_strings[] = {
    {"frameworkName", 256},
    {"threatAttackID", 32},
    {"threatActor", 40},
    {"reportedDuration", 1023},
    {"reportedResourceID", 256},
    {"reportedResourceName", 64},
    {"reportedResourceType", 64},
    {"reportedResourceGroupName", 128},
};

constexpr std::string_view cef_integers[] = {"deviceDirection", "in", "out", "cnt", "type", "fsize"};
constexpr std::string_view cef_ports[] = {"spt", "dpt", "sourceTranslatedPort", "destinationTranslatedPort"};
constexpr std::string_view cef_times[] = {"rt", "start", "end"};
constexpr std::string_view cef_macs[] = {"smac", "dmac", "dvcmac"};
constexpr std::string_view cef_addresses[] = {"sourceTranslatedAddress", "destinationTranslatedAddress"};

// Consumer keys: the receiver sets them (formats.md 2.3).
constexpr std::string_view cef_consumer[] = {
    "art",
    "at",
    "agt",
    "ahost",
    "aid",
    "amac",
    "atz",
    "av",
    "eventId",
    "rawEvent",
    "slat",
    "slong",
    "dlat",
    "dlong",
    "agentDnsDomain",
    "agentNtDomain",
    "agentTranslatedAddress",
    "agentTranslatedZoneExternalID",
    "agentTranslatedZoneURI",
    "agentZoneExternalID",
    "agentZoneURI",
    "customerExternalID",
    "customerURI",
    "destinationTranslatedZoneExternalID",
    "destinationTranslatedZoneURI",
    "destinationZoneExternalID",
    "destinationZoneURI",
    "deviceTranslatedZoneExternalID",
    "deviceTranslatedZoneURI",
    "deviceZoneExternalID",
    "deviceZoneURI",
    "sourceTranslatedZoneExternalID",
    "sourceTranslatedZoneURI",
    "sourceZoneExternalID",
    "sourceZoneURI",
};

constexpr entry leef_strings[] = {
    {"cat", 0},
    {"proto", 0},
    {"usrName", 255},
    {"identHostName", 255},
    {"identNetBios", 255},
    {"identGrpName", 255},
    {"devTimeFormat", 0},
    {"vSrcName", 255},
    {"accountName", 255},
    {"role", 0},
    {"realm", 0},
    {"policy", 0},
    {"resource", 0},
    {"url", 0},
    {"groupID", 0},
    {"domain", 0},
};
constexpr std::string_view leef_addresses[] = {
    "src", "dst", "srcPreNAT", "dstPreNAT", "srcPostNAT", "dstPostNAT", "identSrc", "vSrc"};
constexpr std::string_view leef_ports[] = {
    "srcPort", "dstPort", "srcPreNATPort", "dstPreNATPort", "srcPostNATPort", "dstPostNATPort"};
constexpr std::string_view leef_integers[] = {
    "sev", "srcBytes", "dstBytes", "srcPackets", "dstPackets", "totalPackets"};
constexpr std::string_view leef_macs[] = {"srcMAC", "dstMAC"};
constexpr std::string_view leef_reserved[] = {
    "identMAC", "isLoginEvent", "isLogoutEvent", "identSecondlp", "calLanguage", "calCountryOrRegion"};

template <class Range>
bool holds(const Range& range, std::string_view key)
{
    return std::find(std::begin(range), std::end(range), key) != std::end(range);
}

const entry* find_in(std::span<const entry> range, std::string_view key)
{
    auto at = std::find_if(range.begin(), range.end(), [&](const entry& e) { return e.key == key; });
    return at == range.end() ? nullptr : &*at;
}

/// Whether key is stem followed by one digit from '1' to last.
bool numbered(std::string_view key, std::string_view stem, char last)
{
    return key.size() == stem.size() + 1 && key.starts_with(stem) && key.back() >= '1' && key.back() <= last;
}

key_info known(value_kind kind, std::uint32_t max_bytes = 0)
{
    key_info k;
    k.known = true;
    k.kind = kind;
    k.max_bytes = max_bytes;
    return k;
}

key_info custom(value_kind kind, std::uint32_t max_bytes = 0)
{
    key_info k = known(kind, max_bytes);
    k.needs_label = true;
    return k;
}

}  // namespace

std::string_view value_kind_name(value_kind k)
{
    switch (k)
    {
        case value_kind::string:
            return "string";
        case value_kind::integer:
            return "integer";
        case value_kind::number:
            return "number";
        case value_kind::time:
            return "time";
        case value_kind::ip:
            return "ip";
        case value_kind::mac:
            break;
    }
    return "mac";
}

key_info cef_key(std::string_view key)
{
    if (auto* e = find_in(cef_strings, key))
        return known(value_kind::string, e->max_bytes);
    if (numbered(key, "cs", '6'))
        return custom(value_kind::string, 4000);
    if (numbered(key, "cn", '3') || numbered(key, "flexNumber", '2'))
        return custom(value_kind::integer);
    if (numbered(key, "cfp", '4'))
        return custom(value_kind::number);
    if (numbered(key, "deviceCustomDate", '2') || key == "flexDate1")
        return custom(value_kind::time);
    if (numbered(key, "flexString", '2'))
        return custom(value_kind::string, 1023);
    if (numbered(key, "c6a", '4'))
    {
        key_info k = custom(value_kind::ip);
        k.only_ipv6 = true;
        // "Special Mappings" of the standard; c6a4 is free.
        constexpr std::array<std::string_view, 4> labels = {
            "Device IPv6 Address", "Source IPv6 Address", "Destination IPv6 Address", ""};
        k.fixed_label = labels[static_cast<std::size_t>(key.back() - '1')];
        return k;
    }
    if (key == "src" || key == "dst" || key == "dvc")
    {
        key_info k = known(value_kind::ip);
        k.ipv6_key = key == "src" ? "c6a2" : key == "dst" ? "c6a3" : "c6a1";
        return k;
    }
    if (holds(cef_addresses, key))
        return known(value_kind::ip);
    if (holds(cef_times, key))
        return known(value_kind::time);
    if (holds(cef_ports, key))
    {
        key_info k = known(value_kind::integer);
        k.is_port = true;
        return k;
    }
    if (holds(cef_integers, key))
        return known(value_kind::integer);
    if (holds(cef_macs, key))
        return known(value_kind::mac);
    if (auto* e = find_in(cef1_strings, key))
    {
        key_info k = known(value_kind::string, e->max_bytes);
        k.cef1_only = true;
        return k;
    }
    key_info k;
    k.max_bytes = 1023;  // C11: keys without a length
    k.consumer = holds(cef_consumer, key);
    return k;
}

key_info leef_key(std::string_view key)
{
    if (auto* e = find_in(leef_strings, key))
        return known(value_kind::string, e->max_bytes);
    if (holds(leef_addresses, key))
        return known(value_kind::ip);
    if (holds(leef_ports, key))
    {
        key_info k = known(value_kind::integer);
        k.is_port = true;
        return k;
    }
    if (holds(leef_integers, key))
        return known(value_kind::integer);
    if (holds(leef_macs, key))
        return known(value_kind::mac);
    if (key == "devTime")
        return known(value_kind::time);
    key_info k;
    k.consumer = holds(leef_reserved, key);
    return k;
}

bool is_plain_key(std::string_view key)
{
    return !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    });
}

bool may_be_cut(std::string_view key)
{
    return key == "msg" || key == "message" || key == "description";
}

}  // namespace dtbridge::format
