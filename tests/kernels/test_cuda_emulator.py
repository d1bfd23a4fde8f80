def test_x(cuda):
    assert cuda
