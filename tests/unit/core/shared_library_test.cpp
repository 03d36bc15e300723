#include <dtbridge/core/shared_library.hpp>

#include <boost/test/unit_test.hpp>

#include <utility>

using dtbridge::shared_library;

BOOST_AUTO_TEST_SUITE(shared_libraries)

BOOST_AUTO_TEST_CASE(functions_of_a_library_can_be_called)
{
    // The C library's mathematics: in every system, and IEEE 754 makes this root exact.
    auto opened = shared_library::open("libm.so.6", "libc6");
    BOOST_REQUIRE(opened.has_value());
    double (*square_root)(double) = nullptr;
    BOOST_REQUIRE(opened->find("sqrt", square_root));
    BOOST_TEST(square_root(9.0) == 3.0);
    const shared_library moved = std::move(*opened);
    BOOST_TEST(moved.find("sqrt", square_root));
    BOOST_TEST(!opened->find("sqrt", square_root));
    BOOST_TEST(square_root == nullptr);
}

BOOST_AUTO_TEST_CASE(what_is_missing_is_named_with_its_remedy)
{
    const auto none = shared_library::open("libnone-such.so.1", "dtbridge-none-such");
    BOOST_REQUIRE(none.has_error());
    BOOST_TEST(none.error().code == make_error_code(dtbridge::errc::not_found));
    BOOST_TEST(none.error().detail.find("libnone-such.so.1 cannot be loaded") == 0u);
    BOOST_TEST(none.error().detail.find("install the package dtbridge-none-such") != std::string::npos);
    const auto m = shared_library::open("libm.so.6", "libc6");
    BOOST_REQUIRE(m.has_value());
    void (*f)() = nullptr;
    BOOST_TEST(!m->find("no_such_function", f));
}

BOOST_AUTO_TEST_SUITE_END()
