"""What the simulated shop sells and what its customers say."""

# SKU, name, category and price in GBP.
PRODUCTS = (
    ("LANTERN-MOSS", "Glass lantern, moss green", "light", "18.50"),
    ("LANTERN-SAND", "Glass lantern, sand", "light", "18.50"),
    ("CANDLE-12", "Beeswax candles, box of 12", "light", "14.95"),
    ("STRING-LIGHTS", "String lights, 10 m", "light", "22.00"),
    ("READING-LAMP", "Reading lamp, brass", "light", "64.00"),
    ("TEA-ASSAM", "Assam tea, 250 g", "tea", "9.80"),
    ("TEA-SENCHA", "Sencha tea, 100 g", "tea", "12.40"),
    ("TEA-MINT", "Mint tea, 100 g", "tea", "6.20"),
    ("TEAPOT-IRON", "Cast-iron teapot", "tea", "48.00"),
    ("CUP-PAIR", "Two stoneware cups", "tea", "21.00"),
    ("BLANKET-WOOL", "Wool blanket", "textile", "89.00"),
    ("CUSHION-MOSS", "Cushion, moss green", "textile", "27.50"),
    ("APRON-LINEN", "Linen apron", "textile", "32.00"),
    ("TOWEL-SET", "Kitchen towels, set of 3", "textile", "16.90"),
    ("SOCKS-ALPACA", "Alpaca socks", "textile", "14.00"),
    ("SEEDS-HERB", "Herb seeds, 8 bags", "garden", "11.50"),
    ("PLANTER-CLAY", "Clay planter", "garden", "19.00"),
    ("WATERING-CAN", "Watering can, zinc", "garden", "29.00"),
    ("SECATEURS", "Secateurs", "garden", "38.00"),
    ("BIRD-HOUSE", "Bird house, larch", "garden", "34.50"),
    ("NOTEBOOK-A5", "Notebook, dotted, A5", "paper", "8.90"),
    ("FOUNTAIN-PEN", "Fountain pen", "paper", "42.00"),
    ("INK-BLUE", "Ink, night blue", "paper", "10.50"),
    ("CARDS-12", "Greeting cards, set of 12", "paper", "13.20"),
    ("CALENDAR", "Wall calendar", "paper", "15.00"),
    ("SOAP-TRIO", "Three olive soaps", "care", "12.90"),
    ("BALM-BEE", "Bee balm", "care", "7.50"),
    ("BRUSH-BEECH", "Bath brush, beech", "care", "17.80"),
    ("OIL-LAVENDER", "Lavender oil", "care", "9.40"),
    ("SHAVING-SET", "Shaving set", "care", "54.00"),
)

FIRST_NAMES = (
    *("Amina", "Ben", "Chiara", "Dilip", "Elin", "Farid", "Greta", "Hugo", "Ines", "Jonas"),
    *("Kaya", "Liam", "Maren", "Noor", "Oskar", "Priya", "Quinn", "Rosa", "Samir", "Tilda"),
    *("Umar", "Vera", "Wanda", "Xenia", "Yusuf", "Zoe"),
)
LAST_NAMES = (
    *("Abbot", "Berger", "Costa", "Dahl", "Evans", "Fischer", "Grant", "Holt", "Ibsen", "Jansen"),
    *("Kaur", "Lindqvist", "Moreau", "Novak", "Okafor", "Patel", "Quist", "Rossi", "Sato"),
    *("Thorne", "Ueda", "Varga", "Walsh", "Young", "Zeller"),
)

# Country, time zone and locale.
PLACES = (
    ("GB", "Europe/London", "en-GB"),
    ("IE", "Europe/Dublin", "en-IE"),
    ("DE", "Europe/Berlin", "de-DE"),
    ("FR", "Europe/Paris", "fr-FR"),
    ("NL", "Europe/Amsterdam", "nl-NL"),
)

# Category, subject and text.
COMPLAINTS = (
    ("damaged", "Arrived broken", "It arrived with a crack. I am really disappointed."),
    ("late", "Where is my parcel?", "Two weeks late and nobody answers. This is terrible service."),
    ("wrong item", "Wrong colour", "You sent the wrong colour again. Very annoying, I am upset."),
    ("billing", "Charged twice", "I was charged twice. Awful, please fix this error at once."),
    ("quality", "Fell apart", "The seam broke after a week. Poor quality, a waste of money."),
)
QUESTIONS = (
    ("question", "Washing it", "Hello, can the blanket be washed at 30 degrees? Thank you!"),
    ("question", "Gift wrapping", "Could you wrap it as a gift? You did that so nicely last time."),
    ("address", "New address", "I have moved, please send it to the new address. Thanks a lot."),
    ("question", "Back in stock?", "When is the teapot back? I love the cups and want to add it."),
)
THANKS = (
    "Solved within a day, wonderful. Thank you!",
    "Great help, very friendly.",
    "All good now, thanks.",
)
GRUMBLES = (
    "It took far too long.",
    "I still have no answer to my question. Bad experience.",
    "The refund came, but what a hassle.",
)
PRAISE = (
    "Lovely, exactly as described.",
    "Beautiful work and a quick post, I am delighted.",
    "Good value, would buy again.",
)
CRITICISM = (
    "Not as good as in the picture, disappointing.",
    "It broke after two weeks. Bad.",
    "Okay, but far too expensive for what it is.",
)
CAMPAIGNS = ("newsletter", "search", "spring-sale", "winter-lights")
DEVICES = ("Firefox on Linux", "Safari on iPhone", "Chrome on Android", "Edge on Windows")
REASONS_TO_CANCEL = ("ordered twice by mistake", "found it elsewhere", "delivery takes too long")
