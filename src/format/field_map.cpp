#include "format/field_map.hpp"

#include <dtbridge/core/file.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/toml/document.hpp>

#include <algorithm>
#include <optional>
#include <span>

#include "format/pairs.hpp"

namespace dtbridge::format
{

namespace builtin_maps
{
std::span<const std::pair<std::string_view, std::string_view>> embedded_files();
}

namespace
{

using toml::node;

constexpr std::size_t max_file = 1u << 20;
constexpr std::size_t max_fields = 256;
constexpr std::size_t max_sources = 16;
constexpr std::size_t max_text = 1023;

std::string quoted(std::string_view s)
{
    return '"' + text::printable(s, 80) + '"';
}

std::optional<value_kind> kind_named(std::string_view name)
{
    for (auto k : {value_kind::string,
                   value_kind::integer,
                   value_kind::number,
                   value_kind::time,
                   value_kind::ip,
                   value_kind::mac})
    {
        if (value_kind_name(k) == name)
            return k;
    }
    return {};
}

/// Whether a key of the dictionary's kind can take a value of another.
bool fits(value_kind dictionary, value_kind given)
{
    return dictionary == value_kind::string || dictionary == given ||
           (dictionary == value_kind::number && given == value_kind::integer);
}

/// "cs7": a family of custom fields and a number that it does not have.
std::string_view family_without(std::string_view key)
{
    struct family
    {
        std::string_view stem, message;
    };
    constexpr family families[] = {
        {"cs", "there are six custom strings, cs1 to cs6"},
        {"cn", "there are three custom numbers, cn1 to cn3"},
        {"cfp", "there are four custom floating point fields, cfp1 to cfp4"},
        {"c6a", "there are four custom IPv6 addresses, c6a1 to c6a4"},
        {"deviceCustomDate", "there are two custom dates, deviceCustomDate1 and deviceCustomDate2"},
        {"flexString", "there are two, flexString1 and flexString2"},
        {"flexNumber", "there are two, flexNumber1 and flexNumber2"},
        {"flexDate", "there is one, flexDate1"},
    };
    for (const auto& f : families)
    {
        if (!key.starts_with(f.stem) || key.size() == f.stem.size())
            continue;
        auto digits = key.substr(f.stem.size());
        if (std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; }))
            return f.message;
    }
    return {};
}

bool is_label_key(std::string_view key)
{
    return key.size() > 5 && key.ends_with("Label") && cef_key(key.substr(0, key.size() - 5)).needs_label;
}

class map_loader
{
public:
    map_loader(kind format, std::string_view text, std::string display_name, int cef_version)
        : format_(format), cef_version_(cef_version), file_(std::move(display_name))
    {
        map_ = std::make_unique<field_map::impl>();
        map_->text = text;
    }

    loaded_map load()
    {
        if (map_->text.size() > max_file)
            error(0, "", "is over 1 MiB; a field map has a few dozen lines");
        else if (!text::is_valid_utf8(map_->text))
            error(0, "", "is not UTF-8; save it as UTF-8");
        else
            read();
        loaded_map answer;
        answer.ok =
            std::none_of(problems_.begin(), problems_.end(), [](const problem& p) { return !p.warning; });
        answer.problems = std::move(problems_);
        if (answer.ok)
            answer.value.impl_ = std::move(map_);
        return answer;
    }

private:
    void add(unsigned line, std::string key, std::string message, bool warning)
    {
        problem p;
        p.file = file_;
        p.line = line;
        p.key = std::move(key);
        p.message = std::move(message);
        p.warning = warning;
        problems_.push_back(std::move(p));
    }
    void error(unsigned line, std::string key, std::string message)
    {
        add(line, std::move(key), std::move(message), false);
    }

    void read()
    {
        const auto parsed = toml::parse(map_->text);
        if (!parsed.ok)
        {
            error(parsed.error.line, "", "is not TOML: " + parsed.error.message);
            return;
        }
        const node* fields = nullptr;
        unsigned fields_line = 0;
        for (const auto& [key, line, value] : parsed.root.members)
        {
            if (key == "format")
                check_format(line, value);
            else if (key == "fields")
            {
                fields_line = line;
                if (value.type == node::kind::array)
                    fields = &value;
                else
                    error(line,
                          "fields",
                          "must be a list of tables such as { key = \"rt\", from = \"@time\" }");
            }
            else
                error(line, text::printable(key, 80), "is not known here; a field map has format and fields");
        }
        if (fields == nullptr)
        {
            if (fields_line == 0)
                error(0, "fields", "is missing: a list of tables such as { key = \"rt\", from = \"@time\" }");
            return;
        }
        if (fields->elements.empty() || fields->elements.size() > max_fields)
        {
            error(fields_line,
                  "fields",
                  "must have 1 to 256 entries, has " + std::to_string(fields->elements.size()));
            return;
        }
        for (const node& element : fields->elements)
        {
            if (element.type == node::kind::table)
                read_field(element);
            else
                error(element.line,
                      "fields",
                      "each entry must be a table such as { key = \"rt\", from = \"@time\" }");
        }
        check_whole(fields_line);
    }

    void check_format(unsigned line, const node& name)
    {
        const std::string_view wanted = format_ == kind::leef ? "leef" : "cef";
        if (name.type != node::kind::string || (name.text != "cef" && name.text != "leef"))
            error(line, "format", "must be \"cef\" or \"leef\"");
        else if (name.text != wanted)
            error(line,
                  "format",
                  "is " + quoted(name.text) + ", but the destination sends " + std::string(wanted));
    }

    /// A text member of an entry; nothing, with a problem, for another type or length.
    std::optional<std::string> text_member(std::string_view name, unsigned line, const node& value)
    {
        if (value.type != node::kind::string || value.text.size() > max_text)
        {
            error(line, std::string(name), "must be a text of at most 1023 bytes");
            return {};
        }
        return value.text;
    }

    void read_field(const node& table)
    {
        map_field f;
        const unsigned line = table.line;
        std::optional<std::string> type, value, fallback, with;
        bool has_label = false, has_from = false;
        for (const auto& [name, at, written] : table.members)
        {
            if (name == "key")
                f.key = text_member(name, at, written).value_or("");
            else if (name == "label")
            {
                has_label = true;
                f.label = text_member(name, at, written).value_or("");
            }
            else if (name == "type")
                type = text_member(name, at, written);
            else if (name == "value")
                value = text_member(name, at, written);
            else if (name == "default")
                fallback = text_member(name, at, written);
            else if (name == "with")
                with = text_member(name, at, written);
            else if (name == "from")
            {
                has_from = true;
                read_sources(f, at, written);
            }
            else
                error(at,
                      text::printable(name, 80),
                      "is not known here; an entry has key, from or value, and may have label, type, "
                      "default, with");
        }
        if (f.key.empty())
        {
            error(line, "key", "is missing");
            return;
        }
        f.info = format_ == kind::leef ? leef_key(f.key) : cef_key(f.key);
        if (!is_plain_key(f.key) || f.key.size() > 63)
        {
            error(
                line, text::printable(f.key, 80), "a key is one word of at most 63 ASCII letters and digits");
            return;
        }
        check_key(f, line, has_label);
        f.kind = f.info.kind;
        check_type(f, line, type);
        if (value && has_from)
            error(line, f.key, "has both from and value; one of them");
        else if (!value && !has_from)
            error(line, f.key, "needs from (a JSON Pointer or an @value) or value (a constant)");
        if (value)
            add_constant(f, line, "value", *value);
        if (fallback)
            add_constant(f, line, "default", *fallback);
        if (with)
        {
            f.joins_previous = true;
            if (map_->fields.empty() || map_->fields.back().key != *with)
                error(line, f.key, "with must name the entry just before it");
        }
        for (const auto& other : map_->fields)
        {
            if (other.key == f.key)
                error(line, f.key, "is there twice; a key appears once");
            if (!f.label.empty() && other.label == f.label)
                error(line,
                      f.key,
                      "has the label " + quoted(f.label) + " of " + other.key + "; labels are unique");
        }
        lines_.push_back(line);
        map_->fields.push_back(std::move(f));
    }

    void check_key(map_field& f, unsigned line, bool has_label)
    {
        if (format_ == kind::leef)
        {
            if (f.info.consumer)
                error(line, f.key, "is reserved by LEEF and not implemented; choose a name of your own");
            if (f.key == "devTimeFormat")
                error(line, f.key, "is written with devTime by itself; leave it out");
            if (has_label)
                error(line, f.key, "has a label, which only CEF knows");
            return;
        }
        if (f.info.consumer)
            error(line, f.key, "is set by the receiver and never sent");
        if (is_label_key(f.key))
            error(line,
                  f.key,
                  "is not a key of its own here; write label = \"...\" in the entry of " +
                      f.key.substr(0, f.key.size() - 5));
        else if (!f.info.known)
        {
            if (auto message = family_without(f.key); !message.empty())
                error(line, f.key, std::string(message));
        }
        if (f.info.cef1_only && cef_version_ == 0)
            add(line, f.key, "is a key of CEF 1.x, and this is CEF:0; readers may not know it", true);
        if (f.info.needs_label && f.label.empty())
            error(line, f.key, "is a custom field and needs a label");
        else if (!f.info.needs_label && has_label)
            error(line, f.key, "is no custom field and takes no label");
        if (!f.info.fixed_label.empty() && !f.label.empty() && f.label != f.info.fixed_label)
            error(line, f.key, "has the fixed label " + quoted(f.info.fixed_label));
        // C10: labels are unique, and an IPv6 address of src, dst or dvc brings one of these by itself (C12).
        for (std::string_view key : {"c6a1", "c6a2", "c6a3"})
        {
            if (cef_version_ == 0 && f.key != key && f.label == cef_key(key).fixed_label)
                error(line, f.key, "has the label " + quoted(f.label) + " of " + std::string(key));
        }
        if (std::any_of(f.label.begin(),
                        f.label.end(),
                        [](char c) { return static_cast<unsigned char>(c) < 0x20; }) ||
            f.label != text::trim(f.label))
            error(line, f.key, "has a label with control characters or outer spaces");
    }

    void check_type(map_field& f, unsigned line, const std::optional<std::string>& type)
    {
        if (type)
        {
            auto k = kind_named(*type);
            if (!k)
            {
                error(line,
                      f.key,
                      "type " + quoted(*type) + " is not known; string, integer, number, time, ip or mac");
                return;
            }
            if (!fits(f.info.kind, *k))
            {
                error(line,
                      f.key,
                      "is of type " + std::string(value_kind_name(f.info.kind)) + " in the dictionary, not " +
                          std::string(value_kind_name(*k)));
                return;
            }
            f.kind = *k;
        }
        for (const auto& s : f.sources)
        {
            if (s.base != value_source::origin::derived)
                continue;
            auto all = derived_values();
            auto d =
                std::find_if(all.begin(), all.end(), [&](const derived_info& i) { return i.id == s.id; });
            const bool convertible = f.kind == value_kind::string || fits(f.kind, d->kind) ||
                                     d->id == derived::label ||
                                     (f.kind == value_kind::integer && d->kind == value_kind::time);
            if (!convertible)
                error(line,
                      f.key,
                      "is of type " + std::string(value_kind_name(f.kind)) + ", but " + std::string(d->name) +
                          " is of type " + std::string(value_kind_name(d->kind)));
        }
    }

    void add_constant(map_field& f, unsigned line, std::string_view name, const std::string& value)
    {
        // A constant that the key's type refuses would never be sent: try it as the encoder would.
        std::string out;
        pair_memory memory;
        pair_style style{format_ == kind::leef, cef_version_, format_ == kind::leef ? '^' : ' ', false};
        pair_writer writer(out, no_limit, style, memory);
        std::string_view label = f.info.needs_label ? std::string_view("x") : std::string_view();
        if (writer.add(f.key, f.info, f.kind, item(value), label) != pair_writer::added::sent)
            error(line,
                  f.key,
                  std::string(name) + " " + quoted(value) + " is empty or no " +
                      std::string(value_kind_name(f.kind)));
        value_source s;
        s.rest = value;
        f.sources.push_back(std::move(s));
    }

    void read_sources(map_field& f, unsigned line, const node& from)
    {
        if (from.type == node::kind::array)
        {
            if (from.elements.empty() || from.elements.size() > max_sources)
                error(line, "from", "must have 1 to 16 alternatives");
            else
            {
                for (const node& element : from.elements)
                {
                    if (auto s = text_member("from", line, element))
                        read_source(f, line, *s);
                }
            }
        }
        else if (auto s = text_member("from", line, from))
            read_source(f, line, *s);
    }

    void read_source(map_field& f, unsigned line, const std::string& from)
    {
        value_source s;
        if (from.starts_with('@'))
        {
            const auto* d = find_derived(from);
            if (d == nullptr)
            {
                std::string known;
                for (const auto& v : derived_values())
                    known += (known.empty() ? "" : ", ") + std::string(v.name) +
                             (v.id == derived::label ? "NAME" : "");
                error(line, "from", quoted(from) + " is not known; there are " + known);
                return;
            }
            s.base = value_source::origin::derived;
            s.id = d->id;
            if (d->id == derived::label)
                s.rest = from.substr(d->name.size());
        }
        else if (!read_pointer(s, line, from))
            return;
        f.sources.push_back(std::move(s));
    }

    bool read_pointer(value_source& s, unsigned line, const std::string& from)
    {
        if (!from.starts_with('/') || from.size() < 2)
        {
            error(
                line, "from", quoted(from) + " is neither an @value nor a JSON Pointer such as /model/name");
            return false;
        }
        for (std::size_t i = 0; i < from.size(); ++i)
        {
            if (from[i] == '~' && (i + 1 == from.size() || (from[i + 1] != '0' && from[i + 1] != '1')))
            {
                error(line, "from", quoted(from) + " has a ~ that is not ~0 or ~1 (RFC 6901)");
                return false;
            }
        }
        for (std::string_view part : {"/model/then", "/model/now"})
        {
            if (from == part || from.starts_with(std::string(part) + '/'))
            {
                error(line,
                      "from",
                      quoted(from) + ": pointers read the native shape, where model is flat; write /model" +
                          from.substr(part.size()) + ", which is the model as of the breach");
                return false;
            }
        }
        if (from == "/breachUrl")  // of the native shape, which has it filled (product.md 6)
        {
            s.base = value_source::origin::derived;
            s.id = derived::url;
            return true;
        }
        auto below = [&](std::string_view head, value_source::origin base) {
            if (!from.starts_with(std::string(head) + '/'))
                return false;
            s.base = base;
            s.rest = from.substr(head.size());
            return true;
        };
        if (!below("/model", value_source::origin::model) && !below("/device", value_source::origin::device))
        {
            s.base = value_source::origin::root;
            s.rest = from;
        }
        if (s.rest.find('/', 1) == s.rest.npos && s.rest.find('~') == s.rest.npos)
        {
            s.single = true;
            s.rest.erase(0, 1);
        }
        return true;
    }

    static bool is_always_there(const map_field& f)
    {
        return std::any_of(f.sources.begin(), f.sources.end(), [](const value_source& s) {
            if (s.base == value_source::origin::constant)
                return true;
            auto all = derived_values();
            return s.base == value_source::origin::derived &&
                   std::any_of(all.begin(), all.end(), [&](const derived_info& i) {
                       return i.id == s.id && i.always;
                   });
        });
    }

    void check_whole(unsigned fields_line)
    {
        const auto& fields = map_->fields;
        auto find = [&](std::string_view key) {
            return std::find_if(
                fields.begin(), fields.end(), [&](const map_field& f) { return f.key == key; });
        };
        auto line = [&](auto at) { return lines_[static_cast<std::size_t>(at - fields.begin())]; };
        if (format_ == kind::leef)
        {
            // QRadar maps on EventID and cat, so both are fixed (darktrace.md 4.4).
            auto cat = find("cat");
            if (cat == fields.end())
                error(fields_line, "cat", "is missing: { key = \"cat\", value = \"ModelBreach\" }");
            else if (cat->sources.size() != 1 || cat->sources[0].base != value_source::origin::constant ||
                     cat->sources[0].rest != "ModelBreach")
                error(line(cat), "cat", "must be the constant ModelBreach, which QRadar maps on");
            for (std::string_view key : {"identHostName", "identNetBios", "identGrpName"})
            {
                auto at = find(key);
                if (at != fields.end() && find("identSrc") == fields.end())
                    error(line(at), std::string(key), "is used only together with identSrc");
            }
            return;
        }
        auto id = find("externalId");
        if (id == fields.end())
            error(fields_line,
                  "externalId",
                  "is missing: { key = \"externalId\", from = \"@pbid\" }, first of all");
        else
        {
            if (id != fields.begin())
                error(line(id), "externalId", "must be the first key; parsers look for it after the header");
            const bool is_pbid =
                id->sources.size() == 1 &&
                ((id->sources[0].base == value_source::origin::derived &&
                  id->sources[0].id == derived::pbid) ||
                 (id->sources[0].base == value_source::origin::root && id->sources[0].rest == "pbid"));
            if (!is_pbid)
                error(line(id), "externalId", "must be the pbid: from = \"@pbid\"");
        }
        auto url = find("darktraceUrl");
        if (url != fields.end() &&
            std::none_of(url + 1, fields.end(), [](const map_field& f) { return is_always_there(f); }))
            error(line(url),
                  "darktraceUrl",
                  "must not be the last key: an entry that is always sent, such as @master, has to follow");
    }

    kind format_;
    int cef_version_;
    std::string file_;
    std::unique_ptr<field_map::impl> map_;
    std::vector<unsigned> lines_;
    std::vector<problem> problems_;
};

}  // namespace

item value_source::read(const breach& b, value_reader& derived_values) const
{
    const json::value* from = &b.root;
    switch (base)
    {
        case origin::constant:
            return item(std::string_view(rest));
        case origin::derived:
            return derived_values.get(id, rest);
        case origin::model:
            from = &b.then;
            break;
        case origin::device:
            from = &b.device;
            break;
        case origin::root:
            break;
    }
    return item(single ? from->find(rest) : from->at_pointer(rest));
}

field_map::field_map() = default;
field_map::~field_map() = default;
field_map::field_map(field_map&&) noexcept = default;
field_map& field_map::operator=(field_map&&) noexcept = default;

const std::string& field_map::text() const
{
    static const std::string none;
    return impl_ ? impl_->text : none;
}

std::string_view builtin_field_map(kind format)
{
    const std::string_view name = format == kind::leef ? "leef.toml" : "cef.toml";
    for (const auto& [file, text] : builtin_maps::embedded_files())
    {
        if (file == name)
            return text;
    }
    return {};
}

loaded_map load_field_map_text(kind format,
                               std::string_view toml,
                               const std::string& display_name,
                               int cef_version)
{
    return map_loader(format, toml, display_name, cef_version).load();
}

loaded_map load_field_map(kind format,
                          const std::string& path,
                          const std::string& display_name,
                          int cef_version)
{
    if (path.empty())
        return load_field_map_text(
            format,
            builtin_field_map(format),
            format == kind::leef ? "mappings/fields/leef.toml" : "mappings/fields/cef.toml",
            cef_version);
    const auto file = read_file(path, max_file, file_kind::any);
    if (file)
        return load_field_map_text(format, file->bytes, display_name, cef_version);
    loaded_map answer;
    problem p;
    p.file = display_name;
    p.message = file.error().detail + "; expected a field map that the service's user may read";
    answer.problems.push_back(std::move(p));
    answer.ok = false;
    return answer;
}

}  // namespace dtbridge::format
