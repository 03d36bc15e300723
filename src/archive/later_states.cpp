#include <dtbridge/archive/later_states.hpp>

#include <dtbridge/db/connection.hpp>

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

}  // namespace

outcome<std::unique_ptr<later_states>> later_states::open(const std::string& folder,
                                                          const std::string& master)
{
    try
    {
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
