#pragma once

/// One function per table of product.md 2: reads the keys, appends every problem, fills the struct. A struct
/// with problems is filled as far as it goes and is not used, because the whole set is refused.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <dtbridge/config/configuration.hpp>

#include "config/files.hpp"
#include "config/section.hpp"

namespace dtbridge::config
{

struct context
{
    report& problems;
    file_places places;
    std::map<std::pair<std::string, rules::inventory_key>, std::shared_ptr<const rules::inventory>>
        inventories = {};  ///< by path and key: read once where several masters share one
    /// A master's name is wrong or missing: lists of masters that match nothing are then not reported too.
    bool master_names_doubtful = false;
};

/// What other tables ask about a master.
struct master_place
{
    std::string name;
    std::optional<enrich_options>
        enrich;  ///< of [master.enrich]; an empty path: none, whatever [enrich] says
    std::optional<unsigned> minimal_line;  ///< where [master.query] has minimal = true
};

void check_service(section s, context& c, service_options& out);
void check_archive(section s, context& c, archive_options& out);
void check_masters(section& root,
                   context& c,
                   std::vector<poll::master_options>& out,
                   std::vector<master_place>& places);
void check_query(section s, poll::master_options& out, std::optional<unsigned>& minimal_line);
std::vector<std::pair<std::string, std::string>> default_query();
void check_tokens(section& root,
                  context& c,
                  const std::vector<master_place>& masters,
                  std::vector<api_token>& out);
void check_destinations(section& root,
                        context& c,
                        const std::vector<master_place>& masters,
                        std::vector<destination>& out);

/// [enrich] or [master.enrich]; reports what is wrong in the file, too.
std::optional<enrich_options> check_enrich(section s, context& c);
/// Which master gets which: its own, else that of all.
void check_enrichment(section& root,
                      context& c,
                      const std::vector<master_place>& masters,
                      std::vector<enrich_options>& out);

enum class tls_side { master, destination };
void check_tls(section s, const context& c, tls_side side, net::tls_options& out);

/// json, cef, leef, header, facility and what else shapes a message. kind: for the defaults.
void check_format_keys(section& s, transport::protocol kind, format::options& out);

/// name and formerly: reports grammar, repeats, and a formerly that is still in use. Answers whether the name
/// is right.
class name_register
{
public:
    bool check(section& s, std::string& name, std::string& formerly, bool has_formerly = true);
    /// After all were checked: formerly must not be a name in use.
    void finish(report& r) const;

private:
    struct used
    {
        std::string text, key;
        unsigned line;
    };
    std::vector<used> names_, formers_;
};

/// Names or globs of masters, as listed; names in the order of the masters. Reports those that match nothing.
std::vector<std::string> match_masters(section& s,
                                       std::string_view key,
                                       const std::vector<section::text_at>& patterns,
                                       const context& c,
                                       const std::vector<master_place>& masters);

/// "http://..": scheme, host and port of a master, or what is wrong.
struct base_url
{
    std::string text;  ///< no slash at the end
    bool https = true;
    net::endpoint_name address;
};
/// Refuses user, query, fragment and, unless path_allowed, a path.
std::optional<base_url> read_url(section& s, std::string_view key, bool path_allowed);

bool is_loopback(std::string_view host);

}  // namespace dtbridge::config
