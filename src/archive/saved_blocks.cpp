#include "archive/saved_blocks.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include <dtbridge/archive/archive.hpp>
#include <dtbridge/core/breach.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/db/connection.hpp>

#include "archive/block_codec.hpp"
#include "archive/bounds.hpp"

namespace dtbridge
{

std::vector<std::string_view> split_block(std::string_view bytes)
{
    std::vector<std::string_view> out;
    std::size_t begins = 0;
    std::size_t depth = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < bytes.size(); ++i)
    {
        const char c = bytes[i];
        if (in_string)
        {
            if (c == '\\')
                ++i;
            else if (c == '"')
                in_string = false;
            continue;
        }
        if (depth == 0 && c != '{')
        {
            if (c != ' ' && c != '\t' && c != '\r' && c != '\n' && c != ',')
                return {};
            continue;
        }
        if (c == '"')
            in_string = true;
        else if (c == '{' || c == '[')
        {
            if (depth++ == 0)
                begins = i;
        }
        else if ((c == '}' || c == ']') && --depth == 0)
            out.push_back(bytes.substr(begins, i + 1 - begins));
    }
    return depth == 0 && !in_string ? out : std::vector<std::string_view>();
}

namespace
{

constexpr std::int64_t most_seq = std::int64_t{1} << 62;  // what is over it was never given

using spans = std::vector<std::pair<std::int64_t, std::int64_t>>;

struct block_facts
{
    std::int64_t id = 0, last_seq = 0;
};

struct row_facts
{
    std::int64_t seq = 0;
    breach_key key;
    std::int64_t block = 0;
    std::uint64_t begins = 0, length = 0;  ///< what was negative is huge
    bool archive_only = false;

    /// Nothing where it does not lie in them.
    std::string_view part_of(std::string_view bytes) const
    {
        if (begins > bytes.size() || length > bytes.size() - begins)
            return {};
        return bytes.substr(begins, length);
    }
    /// body: of bytes.
    bool is_at(std::string_view body, std::string_view bytes) const
    {
        const auto part = text::trim_blank(part_of(bytes));
        return part.data() == body.data() && part.size() == body.size();
    }
};

class checker
{
public:
    checker(db::connection& file, bool has_state, std::int64_t now, const std::string& path)
        : db_(file), has_state_(has_state), now_(now), path_(path)
    {}

    recovery run()
    {
        db::transaction all(db_);
        read_state();
        check_blocks();
        exec("DELETE FROM breach WHERE block NOT IN (SELECT id FROM block)");
        exec(
            "DELETE FROM breach WHERE seq < block OR seq > (SELECT last_seq FROM block WHERE id = "
            "breach.block)");
        report_.corrected += db_.changes();
        if (has_state_ && db_.value("SELECT max(seq) FROM breach") > high_)
            ++report_.corrected;
        raise_high("SELECT max(seq) FROM breach");
        check_cursors();
        check_keys();
        find_lost();
        count_lost();
        forget_lost();
        save_state();
        count_saved();
        all.commit();
        return std::move(report_);
    }

private:
    void exec(const char* sql) { db_.prepared(sql).run(); }
    void raise_high(const char* sql)
    {
        if (const auto n = db_.value(sql); n <= most_seq)
            high_ = std::max(high_, n);
    }
    void lower_low(const char* sql)
    {
        db::query q(db_.prepared(sql));
        if (q->step() && q->integer(0) > 0)
            low_ = std::min(low_, q->integer(1));
    }

    /// Before rows go: the numbers that were given. The row of state knows them exactly; one damaged number
    /// among a million of the others would be the highest of all.
    void read_state()
    {
        has_state_ = has_state_ && db_.value("SELECT last_seq FROM state") <= most_seq;
        if (has_state_)
        {
            high_ = db_.value("SELECT max(last_seq, 0) FROM state");
            counted_ = db_.value("SELECT max(breaches, 0) FROM state");
        }
        else
        {
            raise_high("SELECT max(seq) FROM breach");
            raise_high("SELECT max(last_seq) FROM block");
            raise_high("SELECT max(seq) FROM seen");
            raise_high("SELECT max(seq) FROM cursor");
            raise_high("SELECT max(last_seq) FROM batch");
        }
        lower_low("SELECT count(*), min(seq) FROM breach WHERE seq > 0");
        lower_low("SELECT count(*), min(id) FROM block WHERE id > 0");
    }

    void check_blocks()
    {
        std::vector<block_facts> blocks;
        {
            db::query q(db_.prepared("SELECT id, last_seq FROM block ORDER BY id"));
            while (q->step())
                blocks.push_back({q->integer(0), q->integer(1)});
        }
        for (auto& b : blocks)
        {
            const auto bytes = expand(b.id);
            if (bytes && check_block(b, *bytes))
                continue;
            db::query gone(db_.prepared("DELETE FROM block WHERE id = ?"));
            gone->bind(1, b.id);
            gone->run();
        }
    }

    /// The frame says itself how long its bytes are.
    std::optional<std::string> expand(std::int64_t id)
    {
        std::string bytes;
        {
            db::query q(db_.prepared("SELECT size, data FROM block WHERE id = ?"));
            q->bind(1, id);
            if (!q->step())
                return std::nullopt;
            try
            {
                bytes = expand_text(q->blob(1), block_limit_bytes, path_, "");
            }
            catch (const db::error&)
            {
                return std::nullopt;
            }
            if (q->integer(0) == static_cast<std::int64_t>(bytes.size()))
                return bytes;
        }
        db::query q(db_.prepared("UPDATE block SET size = ? WHERE id = ?"));
        q->bind(1, static_cast<std::int64_t>(bytes.size())).bind(2, id);
        q->run();
        ++report_.corrected;
        return bytes;
    }

    /// False where nothing of it can be used.
    bool check_block(block_facts& b, const std::string& bytes)
    {
        const auto bodies = split_block(bytes);
        const auto count = static_cast<std::int64_t>(bodies.size());
        if (count > 0)
        {
            auto is = b;
            if (b.id > most_seq || !has_its_rows(b, bytes, bodies))
                is.id = id_by_keys(bodies).value_or(b.id);
            if (is.id <= 0 || is.id > most_seq)
                return false;
            is.last_seq = is.id + count - 1;
            if ((is.id != b.id || is.last_seq != b.last_seq) && is_free(is, b.id))
            {
                db::query q(db_.prepared("UPDATE block SET id = ?, last_seq = ? WHERE id = ?"));
                q->bind(1, is.id).bind(2, is.last_seq).bind(3, b.id);
                q->run();
                b = is;
                ++report_.corrected;
            }
        }
        if (b.id <= 0 || b.id > most_seq || b.last_seq < b.id)
            return false;
        return b.last_seq - b.id == count - 1 ? check_rows(b, bytes, bodies) : check_alone(b, bytes);
    }

    /// Whether a row of the number that a breach has in this block tells of it.
    bool has_its_rows(const block_facts& b,
                      const std::string& bytes,
                      const std::vector<std::string_view>& bodies)
    {
        for (const auto& row : rows_of({b.id, b.id + static_cast<std::int64_t>(bodies.size()) - 1}))
        {
            const auto body = bodies[static_cast<std::size_t>(row.seq - b.id)];
            if (row.block == b.id && row.is_at(body, bytes) && breach_.read(body) && is_of(row.key))
                return true;
        }
        return false;
    }

    /// The first number of a block by what most of its keys say.
    std::optional<std::int64_t> id_by_keys(const std::vector<std::string_view>& bodies)
    {
        std::map<std::int64_t, std::int64_t> said;
        for (std::size_t i = 0; i < bodies.size(); ++i)
        {
            const auto key = breach_.read(bodies[i]);
            if (!key)
                continue;
            db::query q(db_.prepared("SELECT seq FROM seen WHERE pbid = ? AND created = ?"));
            q->bind(1, key->pbid).bind(2, key->created);
            if (q->step() && q->integer(0) > 0)
                ++said[q->integer(0) - static_cast<std::int64_t>(i)];
        }
        const auto most = std::max_element(
            said.begin(), said.end(), [](const auto& x, const auto& y) { return x.second < y.second; });
        if (most == said.end() || most->second * 2 <= static_cast<std::int64_t>(bodies.size()))
            return std::nullopt;
        return most->first;
    }

    /// Whether no other block than the one of this id begins there.
    bool is_free(const block_facts& b, std::int64_t id)
    {
        db::query q(db_.prepared("SELECT 1 FROM block WHERE id BETWEEN ? AND ? AND id <> ?"));
        q->bind(1, b.id).bind(2, b.last_seq).bind(3, id);
        return !q->step();
    }

    /// Afterwards every breach of the block has the row that its bytes ask for; false where none has. A frame
    /// has a checksum, so it is the row that is wrong where the two differ.
    bool check_rows(const block_facts& b,
                    const std::string& bytes,
                    const std::vector<std::string_view>& bodies)
    {
        std::vector<row_facts> rows(bodies.size());
        archive_only_ = false;
        for (const auto& row : rows_of(b))
        {
            rows[static_cast<std::size_t>(row.seq - b.id)] = row;
            archive_only_ = archive_only_ || row.archive_only;
        }
        std::int64_t good = 0;
        for (std::size_t i = 0; i < bodies.size(); ++i)
            good += check_row(b, rows[i], b.id + static_cast<std::int64_t>(i), bytes, bodies[i]) ? 1 : 0;
        return good > 0;
    }

    /// Of numbers that the block says it holds.
    std::vector<row_facts> rows_of(const block_facts& b)
    {
        std::vector<row_facts> out;
        db::query q(
            db_.prepared("SELECT seq, pbid, created, block, begins, length, archive_only FROM breach WHERE "
                         "seq BETWEEN ? AND ? ORDER BY seq"));
        q->bind(1, b.id).bind(2, b.last_seq);
        while (q->step())
        {
            out.push_back({q->integer(0),
                           {q->integer(1), q->integer(2)},
                           q->integer(3),
                           static_cast<std::uint64_t>(q->integer(4)),
                           static_cast<std::uint64_t>(q->integer(5)),
                           q->integer(6) != 0});
        }
        return out;
    }

    /// row: of seq 0 where there is none. False where there is none afterwards.
    bool check_row(const block_facts& b,
                   const row_facts& row,
                   std::int64_t seq,
                   const std::string& bytes,
                   std::string_view body)
    {
        const auto key = breach_.read(body);
        const bool at_place = row.is_at(body, bytes);
        const bool same_pbid = key && row.seq != 0 && row.key.pbid == key->pbid;
        if (row.seq != 0 && at_place && row.block == b.id && (!key || (same_pbid && is_of(row.key))))
            return true;
        const auto begins = body.data() - bytes.data();
        if (row.seq == 0 && !key)
            return false;
        ++report_.rebuilt;
        // One number of it is wrong; the others, which later states may have changed, are its own.
        if (row.seq != 0 && (at_place || same_pbid || !key))
            correct_row(b, row, body, begins);
        else
            make_row(b, seq, body, begins);
        return true;
    }

    /// Whether the body that was read last is what key tells of.
    bool is_of(const breach_key& key) const
    {
        const bool has_time = breach_.creation_time || breach_.time;
        return key.pbid == breach_.key.pbid && (!has_time || key.created == breach_.key.created);
    }

    void correct_row(const block_facts& b, const row_facts& row, std::string_view body, std::int64_t begins)
    {
        auto key = row.key;
        if (breach_.read(body) && !is_of(key))
            key = {breach_.key.pbid,
                   breach_.creation_time || breach_.time ? breach_.key.created : key.created};
        db::query q(db_.prepared(
            "UPDATE breach SET pbid = ?, created = ?, block = ?, begins = ?, length = ? WHERE seq = ?"));
        q->bind(1, key.pbid).bind(2, key.created).bind(3, b.id).bind(4, begins);
        q->bind(5, static_cast<std::int64_t>(body.size())).bind(6, row.seq);
        q->run();
    }

    /// Of a block whose bytes are not as many breaches as it has numbers: the rows that each point at their
    /// breach, one behind the other.
    bool check_alone(const block_facts& b, const std::string& bytes)
    {
        std::int64_t last = 0;
        std::uint64_t from = 0;
        for (const auto& row : rows_of(b))
        {
            const auto body = row.part_of(bytes);
            if (row.block == b.id && row.begins >= from && !body.empty() && breach_.read(body) &&
                is_of(row.key))
            {
                last = row.seq;
                from = row.begins + row.length;
                continue;
            }
            db::query gone(db_.prepared("DELETE FROM breach WHERE seq = ?"));
            gone->bind(1, row.seq);
            gone->run();
        }
        if (last != b.last_seq)
        {
            db::query q(db_.prepared("UPDATE block SET last_seq = ? WHERE id = ?"));
            q->bind(1, last).bind(2, b.id);
            q->run();
            ++report_.corrected;
        }
        return last != 0;
    }

    /// Of the body that was read last.
    void make_row(const block_facts& b, std::int64_t seq, std::string_view body, std::int64_t begins)
    {
        std::int64_t comments = 0;
        breach_.root.find("commentCount").integer(comments);
        db::query q(
            db_.prepared("INSERT OR REPLACE INTO breach(seq, pbid, created, time, block, begins, length, "
                         "acknowledged, comment_count, archive_only) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
        q->bind(1, seq).bind(2, breach_.key.pbid).bind(3, breach_.key.created).bind(4, breach_.time);
        q->bind(5, b.id).bind(6, begins).bind(7, static_cast<std::int64_t>(body.size()));
        q->bind(8, std::int64_t{is_acknowledged(breach_)}).bind(9, comments);
        q->bind(10, std::int64_t{archive_only_});
        q->run();
    }

    /// A cursor behind the last number would pass over the next breaches. What its destination had last is
    /// also in its batches; where none is left, nothing goes twice.
    void check_cursors()
    {
        if (!has_state_)
            return;  // then it may be the cursor that knows the last number
        std::vector<std::int64_t> beyond;
        {
            db::query q(db_.prepared("SELECT id FROM cursor WHERE seq > ? OR seq < 0"));
            q->bind(1, high_);
            while (q->step())
                beyond.push_back(q->integer(0));
        }
        for (const auto id : beyond)
        {
            db::query q(db_.prepared(
                "UPDATE cursor SET seq = (SELECT ifnull(max(last_seq), ?1) FROM batch WHERE cursor = ?2 AND "
                "last_seq BETWEEN 0 AND ?1) WHERE id = ?2"));
            q->bind(1, high_).bind(2, id);
            q->run();
            corrected_cursors_.insert(id);
            ++report_.corrected;
        }
        db::query q(db_.prepared("DELETE FROM batch WHERE last_seq > ?"));
        q->bind(1, high_);
        q->run();
        report_.corrected += db_.changes();
    }

    /// Every breach is known by its key, and its key leads to it.
    void check_keys()
    {
        exec(
            "INSERT INTO seen(pbid, created, seq) SELECT pbid, created, seq FROM breach WHERE true "
            "ON CONFLICT(pbid, created) DO UPDATE SET seq = excluded.seq WHERE seq <> excluded.seq AND NOT "
            "EXISTS(SELECT 1 FROM breach AS b WHERE b.seq = seen.seq AND b.pbid = seen.pbid AND b.created = "
            "seen.created)");
        report_.corrected += db_.changes();
        if (!has_state_)
            return;
        // Of a breach that is not there, with a number that was not given: it may come again.
        db::query q(db_.prepared("DELETE FROM seen WHERE seq > ?"));
        q->bind(1, high_);
        q->run();
        report_.corrected += db_.changes();
        report_.forgotten += db_.changes();
    }

    /// Numbers are given without gaps, so those between and behind the breaches that are there are lost, but
    /// for what was known to be gone. Of those below it is only known how many they are: the state counts
    /// what the archive held, and retention takes from the front.
    void find_lost()
    {
        const auto known = known_spans();
        std::int64_t there = 0;
        std::int64_t first = high_ + 1;
        spans gaps;
        const auto gap = [&](std::int64_t from, std::int64_t last) {
            for (const auto& [known_from, known_last] : known)
            {
                if (known_last < from || known_from > last)
                    continue;
                if (known_from > from)
                    gaps.emplace_back(from, known_from - 1);
                from = known_last + 1;
            }
            if (from <= last)
                gaps.emplace_back(from, last);
        };
        {
            std::int64_t expected = high_ + 1;
            db::query q(db_.prepared("SELECT seq FROM breach ORDER BY seq"));
            while (q->step())
            {
                const auto seq = q->integer(0);
                if (there++ == 0)
                    first = seq;
                else if (seq > expected)
                    gap(expected, seq - 1);
                expected = seq + 1;
            }
            if (expected <= high_)
                gap(expected, high_);
        }
        if (counted_ == there)
            return;  // whatever is not there was gone before
        spans below;
        if (!counted_ || *counted_ < there || !fit(gaps, below, first, *counted_ - there, known))
        {
            // Without a count, or with a damaged one.
            std::swap(gaps, below);
            if (low_ < first)
                gap(low_, first - 1);
            std::swap(gaps, below);
        }
        for (const auto& [from, last] : below)
            add_lost(from, last);
        for (const auto& [from, last] : gaps)
            add_lost(from, last);
        if (has_state_ && report_.lost.empty())
            ++report_.corrected;  // the count
    }

    /// Where so many are lost: in the gaps, but for those that are longer and so none of it, and the rest of
    /// them below the first. False where there are not so many numbers.
    static bool fit(spans& gaps, spans& below, std::int64_t first, std::int64_t lost, const spans& known)
    {
        spans rest;
        std::int64_t in_rest = 0;
        for (const auto& [from, last] : gaps)
        {
            if (last - from >= lost)
                continue;
            rest.emplace_back(from, last);
            in_rest += last - from + 1;
        }
        if (!count_down(first, lost - in_rest, known, below))
            return false;
        gaps = std::move(rest);
        return true;
    }

    /// So many numbers below first that are in none of the spans; false where there are not so many.
    static bool count_down(std::int64_t first, std::int64_t count, const spans& known, spans& out)
    {
        const auto take = [&](std::int64_t from, std::int64_t last) {
            from = std::max(from, last - count + 1);
            if (count <= 0 || from > last)
                return;
            out.insert(out.begin(), {from, last});
            count -= last - from + 1;
        };
        auto last = first - 1;
        for (auto k = known.rbegin(); k != known.rend() && count > 0; ++k)
        {
            if (k->first > last)
                continue;
            take(k->second + 1, last);
            last = k->first - 1;
        }
        take(1, last);
        if (count > 0)
            out.clear();
        return count <= 0;
    }

    /// What retention or an earlier recovery counted lost, in order and apart.
    spans known_spans()
    {
        spans out;
        db::query q(
            db_.prepared("SELECT first_seq, last_seq FROM lost WHERE first_seq > 0 AND last_seq <= ? AND "
                         "count BETWEEN 1 AND last_seq - first_seq + 1 ORDER BY first_seq"));
        q->bind(1, high_);
        while (q->step())
        {
            if (out.empty() || q->integer(0) > out.back().second + 1)
                out.emplace_back(q->integer(0), q->integer(1));
            else
                out.back().second = std::max(out.back().second, q->integer(1));
        }
        return out;
    }
    void add_lost(std::int64_t first, std::int64_t last)
    {
        report_.lost.emplace_back(first, last);
        report_.lost_count += last - first + 1;
    }

    void count_lost()
    {
        // Once under no cursor, too: the next recovery knows it whatever the cursors had.
        for (const auto& [first, last] : report_.lost)
            note_lost(0, first, last);
        {
            db::query q(db_.prepared("SELECT id, name, seq FROM cursor ORDER BY name"));
            while (q->step())
            {
                ids_.push_back(q->integer(0));
                const bool corrected = corrected_cursors_.contains(q->integer(0));
                report_.cursors.push_back({std::string(q->text(1)), q->integer(2), 0, corrected});
            }
        }
        for (std::size_t i = 0; i < ids_.size(); ++i)
        {
            auto& c = report_.cursors[i];
            for (const auto& [from, last] : report_.lost)
            {
                const auto first = std::max(from, c.seq + 1);
                if (first > last)
                    continue;
                const auto count = last - first + 1;
                c.lost += count;
                note_lost(ids_[i], first, last);
            }
            db::query sum(db_.prepared("UPDATE cursor SET lost = lost + ? WHERE id = ?"));
            sum->bind(1, c.lost).bind(2, ids_[i]);
            sum->run();
        }
    }

    void note_lost(std::int64_t cursor, std::int64_t first, std::int64_t last)
    {
        db::query note(
            db_.prepared("INSERT INTO lost(cursor, first_seq, last_seq, at, count) VALUES(?, ?, ?, ?, ?)"));
        note->bind(1, cursor).bind(2, first).bind(3, last).bind(4, now_).bind(5, last - first + 1);
        note->run();
    }

    /// What every destination had is not fetched and sent again; what one lacks may come again.
    void forget_lost()
    {
        std::int64_t everybody_has = report_.cursors.empty() ? 0 : high_;
        for (const auto& c : report_.cursors)
            everybody_has = std::min(everybody_has, c.seq);
        for (const auto& [from, last] : report_.lost)
        {
            const auto first = std::max(from, everybody_has + 1);
            if (first > last)
                continue;
            db::query q(db_.prepared("DELETE FROM seen WHERE seq BETWEEN ? AND ?"));
            q->bind(1, first).bind(2, last);
            q->run();
            report_.forgotten += db_.changes();
        }
    }

    void save_state()
    {
        db::query q(db_.prepared("UPDATE state SET last_seq = ?, breaches = (SELECT count(*) FROM breach)"));
        q->bind(1, high_);
        q->run();
    }

    void count_saved()
    {
        report_.breaches = db_.value("SELECT breaches FROM state");
        report_.blocks = db_.value("SELECT count(*) FROM block");
        report_.keys = db_.value("SELECT count(*) FROM seen");
        report_.changes = db_.value("SELECT count(*) FROM change");
        report_.batches = db_.value("SELECT count(*) FROM batch");
        report_.texts = db_.value("SELECT count(*) FROM text");
        db::query q(db_.prepared("SELECT position FROM state WHERE position IS NOT NULL"));
        if (q->step())
            report_.position = q->integer(0);
    }

    db::connection& db_;
    bool has_state_;
    std::int64_t now_;
    const std::string& path_;
    recovery report_;
    breach breach_;
    bool archive_only_ = false;  ///< of the block that is looked at: what is archived together is so together
    std::vector<std::int64_t> ids_;
    std::set<std::int64_t> corrected_cursors_;
    std::optional<std::int64_t> counted_;  ///< breaches that the archive held, by its own count
    std::int64_t low_ = std::numeric_limits<std::int64_t>::max();  ///< where a row or block tells of one
    std::int64_t high_ = 0;
};

}  // namespace

recovery check_saved_blocks(db::connection& file, bool has_state, std::int64_t now, const std::string& path)
{
    return checker(file, has_state, now, path).run();
}

}  // namespace dtbridge
