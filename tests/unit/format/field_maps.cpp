#include <boost/test/unit_test.hpp>

#include "readers.hpp"

using namespace dtbridge;
using namespace dtbridge::format;
using namespace dtbridge::format_test;

namespace
{

/// The problems as "line key: message", to look for words in.
std::string problems_of(const loaded_map& m)
{
    std::string all;
    for (const auto& p : m.problems)
    {
        BOOST_TEST(p.file == "map.toml");
        all +=
            std::to_string(p.line) + ' ' + p.key + ": " + p.message + (p.warning ? " (warning)" : "") + '\n';
    }
    return all;
}

struct bad
{
    kind format;
    const char* fields;  ///< of the list, from line 2 of the file on
    const char* expected;
};

const bad bad_fields[] = {
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "cs7", label = "x", from = "@url" })",
     "2 cs7: there are six custom strings"},
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "cs1", from = "@url" })",
     "2 cs1: is a custom field and needs a label"},
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "cs1Label", value = "x" })",
     "2 cs1Label: is not a key of its own"},
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "shost", label = "x", from = "@url" })",
     "takes no label"},
    {kind::cef,
     "{ key = \"externalId\", from = \"@pbid\" },\n{ key = \"cs1\", label = \"x\", from = \"@url\" },\n"
     "{ key = \"cs2\", label = \"x\", from = \"@url\" }",
     "4 cs2: has the label \"x\" of cs1"},
    {kind::cef,
     R"({ key = "rt", from = "@time" }, { key = "externalId", from = "@pbid" })",
     "externalId: must be the first key"},
    {kind::cef, R"({ key = "externalId", from = "@url" })", "externalId: must be the pbid"},
    {kind::cef, R"({ key = "rt", from = "@time" })", "externalId: is missing"},
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "externalId", from = "@pbid" })",
     "is there twice"},
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "my_key", from = "@url" })",
     "one word of at most 63 ASCII"},
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "art", from = "@time" })",
     "art: is set by the receiver"},
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "src", from = "@url" })",
     "src: is of type ip, but @url is of type string"},
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "src", from = "/device/ip", type = "string" })",
     "src: is of type ip in the dictionary, not string"},
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "src", value = "laptop" })",
     "value \"laptop\" is empty or no ip"},
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "dpt", value = "70000" })",
     "value \"70000\" is empty or no integer"},
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "msg", from = "@nothing" })",
     "\"@nothing\" is not known; there are "},
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "msg", from = "@label." })",
     "\"@label.\" is not known"},
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "msg", from = "model/name" })",
     "neither an @value nor a JSON Pointer"},
    {kind::cef, R"({ key = "externalId", from = "@pbid" }, { key = "msg", from = "/a~2" })", "not ~0 or ~1"},
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "msg", from = "/model/then/name" })",
     "write /model/name"},
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "msg", from = "@url", value = "x" })",
     "both from and value"},
    {kind::cef, R"({ key = "externalId", from = "@pbid" }, { key = "msg" })", "needs from"},
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "msg", from = 5 })",
     "from: must be a text"},
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "msg", from = "@url", colour = "red" })",
     "colour: is not known here"},
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "msg", from = "@url", type = "float" })",
     "type \"float\" is not known"},
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "c6a2", label = "x", from = "@device.ipv6" })",
     "fixed label"},
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "cs1", label = "Source IPv6 Address", from = "@url" })",
     "cs1: has the label \"Source IPv6 Address\" of c6a2"},
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "darktraceUrl", from = "@url" }, { key = "msg", from = "/x" })",
     "darktraceUrl: must not be the last key"},
    {kind::cef,
     R"({ key = "externalId", from = "@pbid" }, { key = "msg", from = "@url", with = "rt" })",
     "the entry just before it"},
    {kind::cef, R"(5)", "each entry must be a table"},
    {kind::leef, R"({ key = "src", from = "@device.ip" })", "cat: is missing"},
    {kind::leef, R"({ key = "cat", value = "Other" })", "cat: must be the constant ModelBreach"},
    {kind::leef,
     R"({ key = "cat", value = "ModelBreach" }, { key = "isLoginEvent", value = "x" })",
     "is reserved by LEEF"},
    {kind::leef,
     R"({ key = "cat", value = "ModelBreach" }, { key = "devTimeFormat", value = "x" })",
     "devTimeFormat: is written with devTime"},
    {kind::leef,
     R"({ key = "cat", value = "ModelBreach" }, { key = "identHostName", from = "/device/hostname" })",
     "only together with identSrc"},
    {kind::leef,
     R"({ key = "cat", value = "ModelBreach" }, { key = "x", label = "x", value = "x" })",
     "which only CEF knows"},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(field_maps)

BOOST_AUTO_TEST_CASE(built_in_maps_are_valid_and_are_the_shipped_files)
{
    for (auto [k, name] : {std::pair(kind::cef, "cef.toml"), std::pair(kind::leef, "leef.toml")})
    {
        for (int version : {0, 1})
        {
            auto m = load_field_map(k, "", "", version);
            BOOST_TEST(m.ok);
            BOOST_TEST(m.problems.empty());
        }
        auto shipped = file_text(std::string(DTBRIDGE_SOURCE_DIR) + "/mappings/fields/" + name);
        BOOST_TEST(builtin_field_map(k) == shipped);
        auto copy = load_field_map(k, std::string(DTBRIDGE_SOURCE_DIR) + "/mappings/fields/" + name, name);
        BOOST_TEST(copy.ok);
        BOOST_TEST(copy.value.text() == shipped);
    }
}

BOOST_AUTO_TEST_CASE(what_breaks_the_format_is_refused_with_its_line)
{
    for (const auto& b : bad_fields)
    {
        auto m = load_field_map_text(b.format, std::string("fields = [\n") + b.fields + "\n]\n", "map.toml");
        auto all = problems_of(m);
        BOOST_TEST(!m.ok, b.fields);
        BOOST_TEST(all.find(b.expected) != all.npos, b.fields << "\n" << all);
        BOOST_TEST(m.value.text().empty());
    }
}

BOOST_AUTO_TEST_CASE(what_is_no_map_at_all)
{
    auto problems = [](std::string_view text) {
        return problems_of(load_field_map_text(kind::cef, text, "map.toml"));
    };
    BOOST_TEST(problems("").find("0 fields: is missing") == 0u);
    BOOST_TEST(problems("fields = 5\n").find("1 fields: must be a list") == 0u);
    BOOST_TEST(problems("fields = []\n").find("1 fields: must have 1 to 256 entries, has 0") == 0u);
    BOOST_TEST(problems("\n\nfields = [").find(" : is not TOML: ") != std::string::npos);
    BOOST_TEST(problems("x = \"\xff\"").find("is not UTF-8") != std::string::npos);
    BOOST_TEST(problems(std::string((1u << 20) + 1, '#')).find("is over 1 MiB") != std::string::npos);
    std::string dots = "x";
    for (int i = 0; i < 200'000; ++i)
        dots += ".x";
    for (const std::string& text : {dots + " = 1\n", "[" + dots + "]\n", "fields = [{ " + dots + " = 1 }]\n"})
        BOOST_TEST(problems("\n" + text) == "2 : is not TOML: a key with more than 32 dots\n");
    BOOST_TEST(problems("fields = " + std::string(100'000, '[')).find("1 : is not TOML: ") == 0u);
    BOOST_TEST(problems("a = 1\nformat = \"leef\"\n").find("1 a: is not known here") != std::string::npos);
    BOOST_TEST(
        problems("a = 1\nformat = \"leef\"\n").find("2 format: is \"leef\", but the destination sends cef") !=
        std::string::npos);
    auto missing = load_field_map(kind::cef, "/nonexistent/map.toml", "map.toml");
    BOOST_TEST(!missing.ok);
    BOOST_TEST(problems_of(missing).find("is missing; expected a field map") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(cef1_keys_are_warned_of_in_cef0)
{
    constexpr std::string_view text =
        "fields = [ { key = \"externalId\", from = \"@pbid\" }, { key = \"threatAttackID\", from = "
        "\"@mitre\" } ]";
    auto m = load_field_map_text(kind::cef, text, "map.toml", 0);
    BOOST_TEST(m.ok);
    BOOST_TEST_REQUIRE(m.problems.size() == 1u);
    BOOST_TEST(m.problems[0].warning);
    BOOST_TEST(load_field_map_text(kind::cef, text, "map.toml", 1).problems.empty());
}

BOOST_AUTO_TEST_CASE(a_map_of_ones_own)
{
    auto m = load_field_map_text(
        kind::cef,
        "fields = [\n"
        "  { key = \"externalId\", from = \"/pbid\" },\n"
        "  { key = \"cs1\", label = \"tenant\", from = \"@label.tenant\" },\n"
        "  { key = \"cs2\", label = \"playbook\", from = \"@label.playbook\", default = \"none\" },\n"
        "  { key = \"end\", from = \"@created\" },\n"
        "  { key = \"suser\", from = [\"@user\", \"/device/credentials/0\", \"/device/vendor\"] },\n"
        "  { key = \"shost\", from = \"/device/a~1b\" },\n"
        "  { key = \"reason\", from = \"@reason\" },\n"
        "  { key = \"cat\", from = \"@tags.now\" },\n"
        "  { key = \"outcome\", from = \"@acknowledged\" },\n"
        "  { key = \"cn1\", label = \"size\", from = \"/triggeredComponents/0/size\" },\n"
        "  { key = \"msg\", value = \"via dtbridge\" },\n"
        "  { key = \"vendorModelNow\", from = \"@model\" },\n"
        "]\n",
        "map.toml");
    BOOST_TEST_REQUIRE(m.ok, problems_of(m));
    options o;
    o.format = kind::cef;
    o.header = header_kind::none;
    formatter f(o, std::move(m.value), "b");
    auto b = read_breach(
        R"({"pbid":4,"time":1,"creationTime":2,"acknowledged":{"username":"x"},"model":{"then":{"name":"A::B::C","pid":"7"},)"
        R"("now":{"tags":["x","","y "]}},"device":{"a/b":"slash","credentials":["kim","lee"]},"triggeredComponents":[{"size":17.0}]})");
    std::vector<std::pair<std::string, std::string>> labels = {{"playbook", "PB-1"}};
    rules::decision d;
    d.reason = "because";
    d.labels = &labels;
    BOOST_TEST(
        message_of(f, *b, d) ==
        "CEF:0|Darktrace|DCIP|1|7|A/B/C|5|externalId=4 cs1=acme cs1Label=tenant cs2=PB-1 cs2Label=playbook "
        "end=2 "
        "suser=kim shost=slash reason=because cat=x,y outcome=true cn1=17 cn1Label=size msg=via dtbridge "
        "vendorModelNow=A/B/C");
    BOOST_TEST(message_of(f, *b).find(" cs2=none cs2Label=playbook ") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_pointer_to_breach_url_reads_the_native_shape)
{
    auto m = load_field_map_text(kind::cef,
                                 "fields = [ { key = \"externalId\", from = \"@pbid\" },\n"
                                 "{ key = \"request\", from = \"/breachUrl\" } ]\n",
                                 "map.toml");
    BOOST_TEST_REQUIRE(m.ok, problems_of(m));
    options o;
    o.format = kind::cef;
    o.header = header_kind::none;
    formatter f(o, std::move(m.value), "b");
    // product.md 6: native has breachUrl filled, and public_url goes before the appliance's own.
    for (const char* own : {"", R"(,"breachUrl":"")"})
        BOOST_TEST(message_of(f, *read_breach(std::string(R"({"pbid":4)") + own + "}"))
                       .ends_with(" request=https://dt.acme.example/#modelbreach/4"));
    auto master = acme();
    master.public_url = "https://portal.example";
    std::string out;
    const auto b = read_breach(R"({"pbid":4,"breachUrl":"https://10.0.0.1/#modelbreach/4"})");
    f.message(*b, master, {}, out);
    BOOST_TEST(out.ends_with(" request=https://portal.example/#modelbreach/4"));
}

BOOST_AUTO_TEST_SUITE_END()
