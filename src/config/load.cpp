#include <filesystem>

#include <dtbridge/core/text.hpp>

#include "config/checks.hpp"

namespace dtbridge::config
{

namespace
{

std::string folder_of(const std::string& path)
{
    std::error_code ignored;
    auto absolute = std::filesystem::absolute(path, ignored);
    std::string folder =
        (ignored ? std::filesystem::path(path) : absolute).lexically_normal().parent_path().string();
    return folder.empty() ? "." : folder;
}

// Far more than one bridge serves: what a generated file brings by mistake ends here and not in memory.
constexpr std::size_t most_masters = 10'000;
constexpr std::size_t most_destinations = 1'000;

void check_count(const node& tree, context& c, const char* key, std::size_t most)
{
    const auto* all = tree.find(key);
    if (all == nullptr || all->value.elements.size() <= most)
        return;
    const auto& elements = all->value.elements;
    c.problems.error(elements[most].line,
                     key,
                     "is number " + std::to_string(most + 1) + " of " + std::to_string(elements.size()) +
                         "; expected at most " + std::to_string(most));
}

/// `api_token = []` has none.
bool has_elements(section& s, std::string_view key)
{
    const entry* e = s.find(key);
    return e != nullptr && (e->value.type != node::kind::array || !e->value.elements.empty());
}

void check_all(const node& tree, context& c, configuration& out)
{
    section root(c.problems, tree, "", 0);
    if (auto service = root.subsection("service"))
        check_service(std::move(*service), c, out.service);
    if (auto archive = root.subsection("archive"))
        check_archive(std::move(*archive), c, out.archive);
    check_count(tree, c, "master", most_masters);
    check_count(tree, c, "destination", most_destinations);
    std::vector<master_place> places;
    check_masters(root, c, out.masters, places);
    check_tokens(root, c, places, out.tokens);
    check_destinations(root, c, places, out.destinations);
    check_enrichment(root, c, places, out.enrich);
    root.finish();
    if (!root.is_set("master"))
        c.problems.warning(0, "master", "no [[master]]: nothing is polled; expected one for each appliance");
    if (!root.is_set("destination"))
        c.problems.warning(0, "destination", "no [[destination]]: breaches are archived and sent nowhere");
    // Whoever reaches the listener from elsewhere must show who it is.
    if (auto address = net::parse_endpoint(out.service.listen, 0);
        !out.service.listen.empty() && address && !is_loopback(address->host) &&
        !out.service.listen_cert_file.empty() && !has_elements(root, "api_token"))
        c.problems.error(
            0,
            "api_token",
            "no [[api_token]], but listen = " + in_quotes(out.service.listen) +
                " is reached by other hosts; expected one for each reader, or a loopback address");
}

}  // namespace

loaded load(const std::string& path, const environment& env)
{
    loaded answer;
    answer.value.file = path;
    answer.value.folder = folder_of(path);
    report problems(path);
    context c{problems, {answer.value.folder, env.credentials_directory}};
    if (auto file = read_file(path, max_config_bytes); !file)
        problems.error(0, "", "the file " + file.error().detail);
    else if (auto tree = parse_toml(file->bytes); !tree.ok)
        problems.error(
            tree.error.line, "", "not TOML: " + tree.error.message + "; what follows was not checked");
    else
        check_all(tree.root, c, answer.value);
    answer.problems = problems.sorted();
    answer.ok = problems.ok();
    return answer;
}

std::string to_line(const problem& p)
{
    std::string line = p.warning ? "warning: " : "error: ";
    line += text::printable(p.file, 4000) + ':' + std::to_string(p.line) + ": ";
    if (!p.key.empty())
        line += text::printable(p.key) + ": ";
    return line + text::printable(p.message, 8000);
}

}  // namespace dtbridge::config
