// Every vector of tests/data/formats.json but those of framing on the wire (rfc6587, rfc5426), which
// tests/unit/transport runs. formats.md 9 describes the file.

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <map>

#include "format/cef.hpp"
#include "format/json_message.hpp"
#include "format/leef.hpp"
#include "format/pairs.hpp"
#include "format/syslog_header.hpp"
#include "readers.hpp"

using namespace dtbridge;
using namespace dtbridge::format;

namespace
{

/// A value of the file as the bytes or the node it stands for; built texts are kept in `keep`.
item value_of(const json::value& v, std::vector<std::unique_ptr<std::string>>& keep)
{
    if (auto hex = v.find("hex"))
    {
        auto& bytes = *keep.emplace_back(std::make_unique<std::string>());
        for (std::size_t i = 0; i + 1 < hex.text().size(); i += 2)
            bytes += static_cast<char>(std::stoi(std::string(hex.text().substr(i, 2)), nullptr, 16));
        return item(std::string_view(bytes));
    }
    if (auto repeat = v.find("repeat"))
    {
        auto& bytes = *keep.emplace_back(std::make_unique<std::string>());
        std::int64_t count = 0;
        BOOST_TEST_REQUIRE(repeat.find("count").integer(count));
        while (count-- > 0)
            bytes += repeat.find("unit").text();
        return item(std::string_view(bytes));
    }
    if (auto list = v.find("list"))
        return item(list);
    return item(v);
}

struct vector_input
{
    json::value input;
    std::vector<std::unique_ptr<std::string>> keep;

    std::string text(std::string_view name)
    {
        std::string scratch;
        auto v = input.find(name);
        return v ? std::string(text_of(value_of(v, keep), scratch)) : std::string();
    }
    std::int64_t integer(std::string_view name)
    {
        std::int64_t i = 0;
        BOOST_TEST_REQUIRE(input.find(name).integer(i), name);
        return i;
    }
    std::size_t max_bytes()
    {
        return input.find("max_bytes") ? static_cast<std::size_t>(integer("max_bytes")) : no_limit;
    }

    /// The pairs of CEF and LEEF, a label with its field.
    void add_pairs(pair_writer& writer, bool leef)
    {
        auto child = [](const json::value& v, int n) { return *std::next(v.begin(), n); };
        std::map<std::string, std::string> labels;
        for (json::value pair : input.find("pairs"))
        {
            auto key = child(pair, 0).text();
            if (!leef && key.ends_with("Label"))
                labels.emplace(key.substr(0, key.size() - 5), child(pair, 1).text());
        }
        for (json::value pair : input.find("pairs"))
        {
            auto key = child(pair, 0).text();
            if (!leef && key.ends_with("Label") && cef_key(key.substr(0, key.size() - 5)).needs_label)
                continue;
            auto info = leef ? leef_key(key) : cef_key(key);
            auto label = info.needs_label ? labels[std::string(key)] : std::string();
            writer.add(key, info, info.kind, value_of(child(pair, 1), keep), label);
        }
        writer.finish();
    }
};

std::string cef(const json::value& v, vector_input& in)
{
    pair_memory memory;
    pair_style style;
    const int version = v.find("format").text() == "cef1" ? 1 : 0;
    style.cef_version = version;
    std::string out;
    if (v.find("kind").text() == "header")
    {
        append_cef_header(out,
                          version,
                          in.text("vendor"),
                          in.text("product"),
                          in.text("device_version"),
                          in.text("class_id"),
                          in.text("name"),
                          item(in.input.find("severity")));
        return out;
    }
    out = in.text("header");
    pair_writer writer(out, in.max_bytes(), style, memory);
    in.add_pairs(writer, false);
    return out;
}

std::string leef(const json::value& v, vector_input& in)
{
    pair_memory memory;
    pair_style style;
    style.leef = true;
    style.delimiter = in.text("delimiter").front();
    std::string out;
    if (v.find("kind").text() == "header")
    {
        append_leef_header(out,
                           v.find("format").text() == "leef1" ? "1.0" : "2.0",
                           style.delimiter,
                           in.text("vendor"),
                           in.text("product"),
                           in.text("product_version"),
                           in.text("event_id"));
        return out;
    }
    out = in.text("header");
    pair_writer writer(out, in.max_bytes(), style, memory);
    in.add_pairs(writer, true);
    return out;
}

/// The pairs as a JSON object of the same values, which is what the writer takes.
std::string object_of_pairs(vector_input& in)
{
    std::string text = "{";
    auto put_string = [&](std::string_view s) {
        text += '"';
        for (char c : s)
        {
            if (c == '"' || c == '\\')
                text += {'\\', c};
            else if (static_cast<unsigned char>(c) < 0x20)
            {
                char escape[8];
                std::snprintf(escape, sizeof escape, "\\u%04x", c);
                text += escape;
            }
            else
                text += c;
        }
        text += '"';
    };
    auto put = [&](const item& v, auto& self) -> void {
        if (v.is == item::form::text)
            put_string(v.text);
        else if (v.node.is(json::kind::string))
            put_string(v.node.text());
        else if (v.node.is(json::kind::array))
        {
            text += '[';
            for (json::value element : v.node)
            {
                if (text.back() != '[')
                    text += ',';
                self(item(element), self);
            }
            text += ']';
        }
        else
            text += v.node.type() == json::kind::null ? std::string_view("null") : v.node.text();
    };
    for (json::value pair : in.input.find("pairs"))
    {
        if (text.size() > 1)
            text += ',';
        put_string((*pair.begin()).text());
        text += ':';
        put(value_of(*std::next(pair.begin()), in.keep), put);
    }
    return text + '}';
}

std::string json_object(vector_input& in)
{
    json::document doc;
    auto parsed = doc.parse(object_of_pairs(in));
    BOOST_TEST_REQUIRE(parsed.has_value());
    std::string out;
    json_writer writer;
    writer.plain_object(*parsed, out, in.max_bytes());
    return out;
}

std::string rfc5424(const json::value& v, vector_input& in)
{
    std::string out;
    if (v.find("kind").text() == "header")
    {
        auto hostname = in.text("hostname"), app_name = in.text("app_name"), procid = in.text("procid"),
             msgid = in.text("msgid");
        rfc5424_fields f;
        f.facility = static_cast<int>(in.integer("facility"));
        f.severity = static_cast<int>(in.integer("severity"));
        if (in.input.find("timestamp_ms").is(json::kind::number))
            f.time = in.integer("timestamp_ms");
        f.hostname = hostname;
        f.app_name = app_name;
        f.procid = procid;
        f.msgid = msgid;
        append_rfc5424(out, f);
        return out;
    }
    std::vector<sd_element> elements;
    for (json::value e : in.input.find("elements"))
    {
        sd_element element;
        element.id = e.find("id").text();
        for (json::value p : e.find("params"))
            element.params.emplace_back((*p.begin()).text(), (*std::next(p.begin())).text());
        elements.push_back(std::move(element));
    }
    append_structured_data(out, elements);
    return out;
}

std::string rfc3164(vector_input& in)
{
    auto hostname = in.text("hostname"), tag = in.text("tag"), pid = in.text("pid");
    rfc3164_fields f;
    f.facility = static_cast<int>(in.integer("facility"));
    f.severity = static_cast<int>(in.integer("severity"));
    f.time = in.integer("timestamp_ms");
    if (in.input.find("utc_offset_minutes"))
        f.offset_minutes = static_cast<int>(in.integer("utc_offset_minutes"));
    f.hostname = hostname;
    f.tag = tag;
    f.pid = pid;
    std::string out;
    append_rfc3164(out, f);
    return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(vectors)

BOOST_AUTO_TEST_CASE(every_vector_of_the_file)
{
    json::document doc;
    auto text = format_test::file_text(std::string(DTBRIDGE_TEST_DATA) + "/formats.json");
    auto all = doc.parse(text);
    BOOST_TEST_REQUIRE(all.has_value());
    BOOST_TEST(all->size() == 117u);
    std::map<std::string, int> ran;
    int elsewhere = 0;
    for (json::value v : *all)
    {
        const auto kind = v.find("format").text();
        vector_input in{v.find("input"), {}};
        std::string got;
        if (kind == "cef0" || kind == "cef1")
            got = cef(v, in);
        else if (kind == "leef1" || kind == "leef2")
            got = leef(v, in);
        else if (kind == "json")
            got = json_object(in);
        else if (kind == "rfc5424")
            got = rfc5424(v, in);
        else if (kind == "rfc3164")
            got = rfc3164(in);
        else
        {
            BOOST_TEST((kind == "rfc6587" || kind == "rfc5426"), kind);
            ++elsewhere;
            continue;
        }
        ++ran[std::string(kind)];
        BOOST_TEST(got == v.find("expected_output").text(),
                   v.find("id").text()
                       << "\n got      " << got << "\n expected " << v.find("expected_output").text());
    }
    BOOST_TEST(elsewhere == 7);
    BOOST_TEST(ran["cef0"] == 57);
    BOOST_TEST(ran["cef1"] == 2);
    BOOST_TEST(ran["leef1"] == 4);
    BOOST_TEST(ran["leef2"] == 21);
    BOOST_TEST(ran["json"] == 8);
    BOOST_TEST(ran["rfc5424"] == 14);
    BOOST_TEST(ran["rfc3164"] == 4);
}

BOOST_AUTO_TEST_SUITE_END()
