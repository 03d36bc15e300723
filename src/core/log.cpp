// The only file that knows spdlog: header-only with header-only fmt, because EL 9 has neither library in its
// base.
#define SPDLOG_HEADER_ONLY
#define FMT_HEADER_ONLY
#ifndef SPDLOG_FMT_EXTERNAL
#define SPDLOG_FMT_EXTERNAL 1  // Debian's tweakme.h defines the same
#endif
#include <core/journal.hpp>
#include <core/log_line.hpp>

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <atomic>
#include <memory>

#include <dtbridge/core/text.hpp>

namespace dtbridge::log
{

namespace
{

std::atomic<level> current_level{level::info};
std::atomic<format> current_format{format::text};

spdlog::level::level_enum to_spdlog(level l)
{
    switch (l)
    {
        case level::error:
            return spdlog::level::err;
        case level::warning:
            return spdlog::level::warn;
        case level::info:
            return spdlog::level::info;
        case level::debug:
            break;
    }
    return spdlog::level::debug;
}

std::unique_ptr<spdlog::pattern_formatter> formatter_of(format f)
{
    const char* pattern = f == format::json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})"
                                            : "%Y-%m-%dT%H:%M:%S.%eZ %l %v";
    return std::make_unique<spdlog::pattern_formatter>(pattern, spdlog::pattern_time_type::utc);
}

spdlog::logger& to_stderr()
{
    static const auto instance = [] {
        auto made =
            std::make_shared<spdlog::logger>("dtbridge", std::make_shared<spdlog::sinks::stderr_sink_mt>());
        made->set_formatter(formatter_of(format::text));
        made->set_level(spdlog::level::debug);  // enabled() decides
        return made;
    }();
    return *instance;
}

std::string json_string(std::string_view s)
{
    return text::quoted(text::printable(s, max_value));
}

/// As it is where that is plain; quoted, with \" and \\, where a blank or a sign of our own grammar is in it.
std::string text_value(std::string_view s)
{
    const std::string shown = text::printable(s, max_value);
    if (!shown.empty() && shown.find_first_of(" \"=") == shown.npos)
        return shown;
    return json_string(s);
}

}  // namespace

std::string text_line(std::string_view component,
                      std::string_view source,
                      std::string_view message,
                      std::initializer_list<field> fields)
{
    std::string out(component);
    if (!source.empty())
        out.append(" ").append(text::printable(source, max_value));
    out.append(": ").append(text::printable(message, max_value));
    for (const field& f : fields)
        out.append(" ").append(f.name).append("=").append(text_value(f.value));
    return out;
}

std::string json_members(std::string_view component,
                         std::string_view source,
                         std::string_view message,
                         std::initializer_list<field> fields)
{
    std::string out = "\"component\":" + json_string(component);
    if (!source.empty())
        out.append(",\"source\":").append(json_string(source));
    out.append(",\"message\":").append(json_string(message));
    for (const field& f : fields)
        out.append(",").append(json_string(f.name)).append(":").append(json_string(f.value));
    return out;
}

void write(level l,
           std::string_view component,
           std::string_view source,
           std::string_view message,
           std::initializer_list<field> fields)
{
    if (!enabled(l))
        return;
    const bool json = current_format.load(std::memory_order_relaxed) == format::json;
    // Under systemd fields are fields of the journal; who asks for JSON gets its lines, in the journal too.
    if (!json && send_to_journal(journal_entry(l, component, source, message, fields)))
        return;
    const auto line = json ? json_members(component, source, message, fields)
                           : text_line(component, source, message, fields);
    to_stderr().log(to_spdlog(l), spdlog::string_view_t(line.data(), line.size()));
}

void set_level(level l)
{
    current_level = l;
}

void set_format(format f)
{
    to_stderr().set_formatter(formatter_of(f));
    current_format = f;
}

bool enabled(level l)
{
    return l <= current_level.load(std::memory_order_relaxed);
}

}  // namespace dtbridge::log
