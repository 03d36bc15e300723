#include <dtbridge/archive/later_states.hpp>

#include <dtbridge/db/connection.hpp>

#include "archive/pg_store.hpp"
#include "archive/schema.hpp"

namespace dtbridge
{

namespace
{

class states_of_file : public later_states
{
public:
    explicit states_of_file(const std::string& path) : db_(path, options())
    {
        db::check_version(db_, archive_application_id, static_cast<int>(archive_schema().size()), "archive");
    }

    outcome<std::vector<std::pair<std::int64_t, state_change>>> between(std::int64_t first_seq,
                                                                        std::int64_t last_seq) override
    {
        try
        {
            std::vector<std::pair<std::int64_t, state_change>> found;
            db::query q(
                db_.prepared("SELECT seq, at, acknowledged, comment_count, acknowledged_at FROM change WHERE "
                             "seq BETWEEN ? AND ? "
                             "ORDER BY seq, at LIMIT 100000"));
            q->bind(1, first_seq).bind(2, last_seq);
            while (q->step())
            {
                state_change c{q->integer(1), q->integer(2) != 0, q->integer(3)};
                if (!q->is_null(4))
                    c.acknowledged_at = q->integer(4);
                found.emplace_back(q->integer(0), c);
            }
            return found;
        }
        catch (const db::error& e)
        {
            return e.reason();
        }
    }

private:
    static db::open_options options()
    {
        db::open_options o;
        o.create = false;
        o.writable = false;
        return o;
    }

    db::connection db_;
};

class states_of_database : public later_states
{
public:
    states_of_database(const std::string& folder, const std::string& master, const archive_database& database)
    {
        db::postgres_options options;
        options.url = database.url;
        options.password = database.password;
        store_ = std::make_unique<pg_store>(master,
                                            folder + "/" + master,
                                            any_store::access::read,
                                            std::make_shared<db::postgres_pool>(std::move(options)),
                                            std::make_shared<archive_budget>(1, 0, 0),
                                            pg_layout());
        store_->open();
    }

    outcome<std::vector<std::pair<std::int64_t, state_change>>> between(std::int64_t first_seq,
                                                                        std::int64_t last_seq) override
    {
        try
        {
            return store_->changes_between(first_seq, last_seq);
        }
        catch (const db::error& e)
        {
            return e.reason();
        }
    }

private:
    std::unique_ptr<pg_store> store_;
};

}  // namespace

outcome<std::unique_ptr<later_states>> later_states::open(const std::string& folder,
                                                          const std::string& master,
                                                          const archive_database& database)
{
    try
    {
        if (!database.url.empty())
        {
            std::unique_ptr<later_states> of_database =
                std::make_unique<states_of_database>(folder, master, database);
            return of_database;
        }
        std::unique_ptr<later_states> made =
            std::make_unique<states_of_file>(folder + "/" + master + "/archive.db");
        return made;
    }
    catch (const db::error& e)
    {
        return e.reason();
    }
}

}  // namespace dtbridge
