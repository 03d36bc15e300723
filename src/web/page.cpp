#include <dtbridge/web/page.hpp>

#include <span>

namespace dtbridge::web
{

namespace page
{
/// Generated from src/web/page/ by cmake/embed.cmake.
std::span<const std::pair<std::string_view, std::string_view>> embedded_files();
}  // namespace page

namespace
{

std::string_view type_of(std::string_view name)
{
    if (name.ends_with(".html"))
        return "text/html; charset=utf-8";
    if (name.ends_with(".css"))
        return "text/css; charset=utf-8";
    if (name.ends_with(".js"))
        return "text/javascript; charset=utf-8";
    return "image/svg+xml";
}

// Only what is ours, nothing inline, no form, no frame.
constexpr const char* page_policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

}  // namespace

void serve_page(server& s)
{
    for (const auto& [name, text] : page::embedded_files())
    {
        response file;
        file.content_type = type_of(name);
        file.body = text;
        file.content_security_policy = page_policy;
        const auto answer = [file](const request&) { return file; };
        s.handle(name == "index.html" ? "/" : "/page/" + std::string(name), answer);
    }
}

}  // namespace dtbridge::web
